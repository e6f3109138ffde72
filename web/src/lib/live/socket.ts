/** The only file that knows Socket.IO's client. It is loaded when somebody first listens. */
import { readKey } from '#lib/api/credentials.ts';
import type { LiveSocket } from './channel.ts';

const LONGEST_PAUSE_MS = 5_000;

export async function openSocket(namespace: '/monitor' | '/system' | '/progress'): Promise<LiveSocket> {
  const { io } = await import('socket.io-client');
  const socket = io(namespace, {
    autoConnect: false,
    transports: ['websocket', 'polling'], // a WebSocket at once; polling where a proxy does not let it through
    tryAllTransports: true,
    reconnectionDelayMax: LONGEST_PAUSE_MS,
    auth: (answer) => answer({ token: readKey() ?? undefined }),
  });
  return socket as LiveSocket;
}
