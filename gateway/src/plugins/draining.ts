// Before the process ends: new requests are refused, running ones finish.
import type { FastifyInstance } from 'fastify';
import { AppError } from '../errors.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Refuses new requests; resolves when the running ones have been answered, or after the time given. */
    drain: (timeoutMs: number) => Promise<void>;
  }
}

export function addDraining(app: FastifyInstance): { isDraining: () => boolean } {
  let isDraining = false;
  let running = 0;
  let onIdle: () => void = () => undefined;
  const counted = new WeakSet<object>();

  app.addHook('onRequest', async (request) => {
    // Probes read their answer from the body of the health routes.
    if (isDraining && !/^\/(?:api\/)?(?:health|metrics)/.test(request.url)) {
      throw new AppError('SHUTTING_DOWN', 'The server is shutting down.');
    }
    if (isDraining) return;
    counted.add(request);
    running += 1;
  });
  app.addHook('onResponse', async (request) => {
    if (!counted.has(request)) return;
    running -= 1;
    if (running === 0) onIdle();
  });
  app.decorate('drain', async (timeoutMs: number) => {
    isDraining = true;
    if (running === 0) return;
    await new Promise<void>((resolve) => {
      onIdle = resolve;
      setTimeout(resolve, timeoutMs).unref();
    });
  });
  return { isDraining: () => isDraining };
}
