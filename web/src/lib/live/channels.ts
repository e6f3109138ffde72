/** The three namespaces of proto/live.ts, one channel each; the layout makes them and hands them down. */
import type { MonitorClientEvents, MonitorServerEvents, ProgressEvents, SystemEvents } from '@millm/proto/live';
import { Channel } from './channel.ts';
import { openSocket } from './socket.ts';

export interface Live {
  monitor: Channel<MonitorServerEvents, MonitorClientEvents>;
  system: Channel<SystemEvents>;
  progress: Channel<ProgressEvents>;
}

export function createLive(): Live {
  return {
    monitor: new Channel(() => openSocket('/monitor')),
    system: new Channel(() => openSocket('/system')),
    progress: new Channel(() => openSocket('/progress')),
  };
}
