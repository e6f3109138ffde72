// Before the process ends: new requests are refused, running ones finish.
import { setTimeout } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { AppError } from '../errors.ts';
import { onAnswered } from './request-context.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Refuses new requests; resolves when the running ones have been answered, which after the time given is an error. */
    drain: (timeoutMs: number) => Promise<void>;
    /** Aborts what still runs when the time to drain is over. */
    stopSignal: AbortSignal;
  }
}

/** For the last words of what did not end in time. */
const goodbyeMs = 2_000;

export function addDraining(app: FastifyInstance): { isDraining: () => boolean } {
  let isDraining = false;
  let running = 0;
  let onIdle: () => void = () => undefined;
  const counted = new Set<object>();
  const stop = new AbortController();

  app.addHook('onRequest', async (request) => {
    // Probes read their answer from the body of the health routes.
    if (isDraining && !/^\/(?:api\/)?(?:health|metrics)/.test(request.url)) {
      throw new AppError('SHUTTING_DOWN', 'The server is shutting down.');
    }
    if (isDraining) return;
    counted.add(request);
    running += 1;
  });
  onAnswered(app, (request) => {
    if (!counted.delete(request)) return;
    running -= 1;
    if (running === 0) onIdle();
  });
  app.decorate('drain', async (timeoutMs: number) => {
    isDraining = true;
    if (running === 0) return;
    const idle = new Promise<void>((resolve) => (onIdle = resolve));
    const limit = new AbortController();
    const isLate = setTimeout(timeoutMs, true, { signal: limit.signal }).catch(() => false);
    if (!(await Promise.race([idle.then(() => false), isLate]))) return limit.abort();
    stop.abort(new AppError('SHUTTING_DOWN', 'The server shut down while this was running.'));
    await Promise.race([idle, setTimeout(goodbyeMs, undefined, { ref: false })]);
  });
  app.decorate('stopSignal', stop.signal);
  return { isDraining: () => isDraining };
}
