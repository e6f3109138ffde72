// So many requests a minute for each key that we know, or for each address; off by default. Counted in the cache, so that
// replicas share one count. Comes after the guard, which knows the key.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AppError } from '../errors.ts';
import type { Cache } from '../storage/cache.ts';

export interface RateLimitOptions {
  cache: Pick<Cache, 'increment'>;
  /** 0 = no limit. */
  perMinute: number;
  /** Not counted: probes. */
  isFree?: (request: FastifyRequest) => boolean;
}

const windowMs = 60_000;

export function limitRate(app: FastifyInstance, options: RateLimitOptions): void {
  const { cache, perMinute, isFree = () => false } = options;
  if (perMinute === 0) return;
  app.addHook('onRequest', async (request, reply) => {
    if (request.method === 'OPTIONS' || isFree(request)) return;
    const window = Math.floor(Date.now() / windowMs);
    const count = await cache.increment(`rate:${callerOf(request)}:${window}`, windowMs);
    const resetS = Math.max(1, Math.ceil(((window + 1) * windowMs - Date.now()) / 1000));
    const headers = {
      'x-ratelimit-limit-requests': String(perMinute),
      'x-ratelimit-remaining-requests': String(Math.max(0, perMinute - count)),
      'x-ratelimit-reset-requests': `${resetS}s`,
    };
    void reply.headers(headers);
    if (count <= perMinute) return;
    throw new AppError('RATE_LIMITED', `More than ${perMinute} requests in this minute; try again in ${resetS} s.`, {
      headers: { 'retry-after': String(resetS) },
    });
  });
}

/** A key that nobody gave out is no name: whoever makes up a new one for each request is counted by address. */
const callerOf = (request: FastifyRequest) => (request.keyId === null ? `ip:${request.ip}` : `key:${request.keyId}`);
