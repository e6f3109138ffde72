// Socket.IO on the gateway's own port: the only file that knows it. Namespaces, payloads: proto/live.ts.
import type { FastifyInstance } from 'fastify';
import { Server } from 'socket.io';
import type { DefaultEventsMap, Namespace, Socket } from 'socket.io';
import type {
  Answer,
  MonitorClientEvents,
  MonitorServerEvents,
  ProgressEvents,
  Reply,
  SystemEvents,
} from '@millm/proto/live';
import type { z } from 'zod';
import { AppError, toAppError } from '../errors.ts';
import type { KeyService } from '../keys/service.ts';
import type { Logger } from '../log.ts';
import { monitorAsk, target } from '../monitoring/schemas.ts';
import type { Monitoring } from '../monitoring/service.ts';
import type { LiveSystem } from '../system/live.ts';
import { keyOf, refuseUnless } from './auth.ts';
import { isOwnPage } from './origin.ts';

export interface LiveOptions {
  monitoring: Monitoring;
  system: LiveSystem;
  keys: Pick<KeyService, 'isRequired' | 'identify' | 'isLive' | 'onChange'>;
  /** Other origins whose pages may connect; our own always may. */
  origins: readonly string[];
  log: Logger;
}

type MonitorNamespace = Namespace<MonitorClientEvents, MonitorServerEvents>;
type MonitorSocket = Socket<MonitorClientEvents, MonitorServerEvents>;
type SendOnly<Events> = Namespace<DefaultEventsMap, { [Name in keyof Events]: Events[Name] }>;

const path = '/socket.io';
const largestMessageBytes = 256 * 1024;

export function serveLive(app: FastifyInstance, options: LiveOptions): void {
  const { origins, log } = options;
  const named = origins.filter((origin) => origin !== '*');
  let isClosing = false;
  const io = new Server(app.server, {
    path,
    serveClient: false,
    maxHttpBufferSize: largestMessageBytes,
    destroyUpgrade: false, // the development proxy has upgrades of its own
    allowRequest: (request, decide) => decide(null, !isClosing && isOwnPage(request, named)),
    ...(named.length > 0 && { cors: { origin: named } }),
  });
  // What the server above did not take by itself: requests to a second address of a host with several. Upgrades come here a
  // second time when the development proxy shows them to the router, and are already answered.
  for (const url of [path, `${path}/*`]) {
    app.route({
      method: ['GET', 'POST', 'OPTIONS'],
      url,
      schema: { hide: true },
      handler(request, reply) {
        reply.hijack();
        if (request.headers.upgrade === undefined) io.engine.handleRequest(request.raw as never, reply.raw);
      },
    });
  }

  guardSockets(io, options.keys, log);
  const stops = [
    serveMonitor(io.of('/monitor') as MonitorNamespace, options),
    serveSystem(io.of('/system') as SendOnly<SystemEvents>, options),
    serveProgress(io.of('/progress') as SendOnly<ProgressEvents>, options),
  ];
  // Before Fastify waits for connections to end, which sockets never do by themselves. `io.close` would close its server too.
  app.addHook('preClose', async () => {
    isClosing = true;
    stops.forEach((stop) => stop());
    io.disconnectSockets(true);
    io.engine.close();
    log.debug({ event: 'live:closed' }, 'sockets closed');
  });
}

/** Live views show what others ask for and read: they are for those who manage. */
function guardSockets(io: Server, keys: LiveOptions['keys'], log: Logger): void {
  io.use((_socket, next) => next(new Error('Connect to /monitor, /system or /progress.')));
  if (!keys.isRequired) return;
  const namespaces = ['/monitor', '/system', '/progress'].map((name) => io.of(name));
  for (const namespace of namespaces) {
    namespace.use((socket, next) => {
      const { token } = socket.handshake.auth as { token?: unknown };
      keys
        .identify(typeof token === 'string' ? token : keyOf(socket.handshake.headers))
        .then((holder) => {
          refuseUnless(holder, ['manage']);
          (socket.data as { keyId?: string }).keyId = holder.id;
          next();
        })
        .catch((thrown: unknown) => {
          const { message, code } = toAppError(thrown);
          next(Object.assign(new Error(message), { data: { code } }));
        });
    });
  }
  keys.onChange(() => {
    for (const socket of namespaces.flatMap(({ sockets }) => [...sockets.values()])) {
      const { keyId = '' } = socket.data as { keyId?: string };
      keys.isLive(keyId).then(
        (isLive) => !isLive && socket.disconnect(true),
        (error: unknown) => log.error({ event: 'live:not-checked', err: error }, 'a key could not be checked'),
      );
    }
  });
}

function serveMonitor(namespace: MonitorNamespace, { monitoring, log }: LiveOptions): () => void {
  monitoring.sendWith((receivers, message) => namespace.to([...receivers]).emit('monitor:activations', message));
  const stop = monitoring.on((event) => {
    if (event.type === 'state') namespace.emit('monitor:state', event.info);
    else namespace.emit('monitor:cleared', { seq: event.seq });
  });

  namespace.on('connection', (socket) => {
    const watcher = monitoring.open({
      id: socket.id,
      isReady: () => isDrained(socket),
      snapshot: (snapshot) => socket.emit('monitor:snapshot', snapshot),
    });
    const answer = answerer(socket, log);
    socket.emit('monitor:state', monitoring.info());
    socket.on('monitor:subscribe', (ask, reply) => answer(reply, () => watcher.subscribe(parse(monitorAsk, ask))));
    socket.on('monitor:unsubscribe', (which, reply) => answer(reply, () => watcher.unsubscribe(idOf(which)), which));
    socket.on('monitor:pause', (which, reply) => answer(reply, () => watcher.pause(idOf(which)), which));
    socket.on('monitor:resume', (which, reply) => answer(reply, () => watcher.resume(idOf(which)), which));
    socket.on('monitor:clear', (reply) => answer(reply, () => monitoring.clear()));
    socket.on('disconnect', () => void watcher.close());
  });
  return stop;
}

function serveSystem(namespace: SendOnly<SystemEvents>, { system, log }: LiveOptions): () => void {
  namespace.on('connection', (socket) => {
    system.snapshot().then(
      (snapshot) => socket.emit('system:snapshot', snapshot),
      (error: unknown) => log.error({ event: 'live:no-snapshot', err: error }, 'no snapshot for a new client'),
    );
  });
  return system.on(({ name, data }) => {
    // Metrics come again in a moment, so who cannot take them now goes without.
    const to = name === 'system:metrics' ? namespace.volatile : namespace;
    (to as Namespace).emit(name, data);
  });
}

function serveProgress(namespace: SendOnly<ProgressEvents>, { system, monitoring }: LiveOptions): () => void {
  namespace.on('connection', (socket) => {
    socket.emit('progress:snapshot', { gateway_id: monitoring.id, items: system.progress() });
  });
  return system.onProgress((update) => namespace.emit('progress:update', update));
}

/** Runs what a client asked for, and answers its callback: the one given in place of an optional argument, too. */
function answerer(socket: MonitorSocket, log: Logger) {
  return <T>(given: Reply<T> | undefined, action: () => Promise<T | void>, first?: unknown): void => {
    const reply = [given, first].find((value): value is Reply<T> => typeof value === 'function');
    // Started in a promise, so that a refused argument is an answer too.
    Promise.resolve()
      .then(action)
      .then(
        (data) => reply?.({ success: true, data: data ?? (null as T), error: null }),
        (thrown: unknown) => {
          const error = toAppError(thrown);
          if (error.code === 'INTERNAL_ERROR') log.error({ event: 'live:failed', err: thrown }, error.message);
          const failure = { code: error.code, message: error.message };
          if (reply) reply({ success: false, data: null, error: failure } satisfies Answer<T>);
          else socket.emit('monitor:error', failure);
        },
      );
  };
}

function parse<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new AppError('VALIDATION_ERROR', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not valid'}`);
}

/** Without an id: every subscription of this client. */
const idOf = (which: unknown) =>
  typeof which === 'function' ? undefined : parse(target, which ?? undefined).subscription_id;

/** The last message has left: engine.io keeps what has not in a buffer that it calls private. */
function isDrained(socket: MonitorSocket): boolean {
  const { transport, writeBuffer } = socket.conn as unknown as {
    transport: { writable: boolean };
    writeBuffer: unknown[];
  };
  return transport.writable && writeBuffer.length === 0;
}
