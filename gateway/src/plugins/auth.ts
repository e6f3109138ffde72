import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AppError } from '../errors.ts';

const digest = (key: string) => createHash('sha256').update(key).digest();

/** Whether a key is one of those configured; every one is compared, so that time tells nothing. */
export function keyCheck(keys: readonly string[]): (given: string) => boolean {
  const known = keys.map(digest);
  return (given) => known.filter((key) => timingSafeEqual(key, digest(given))).length > 0;
}

/** Guards a scope when keys are configured; otherwise any or no key is accepted. */
export function requireKey(
  app: FastifyInstance,
  keys: readonly string[],
  isOpen: (request: FastifyRequest) => boolean,
): void {
  if (keys.length === 0) return;
  const isKnown = keyCheck(keys);
  app.addHook('onRequest', async (request) => {
    if (request.method === 'OPTIONS' || isOpen(request)) return;
    if (isKnown(keyOf(request.headers))) return;
    throw new AppError('UNAUTHORIZED', 'Incorrect API key provided.', {
      headers: { 'www-authenticate': 'Bearer' },
    });
  });
}

/** A bearer token or an X-Api-Key header; empty when there is neither. */
export function keyOf(headers: IncomingHttpHeaders): string {
  const bearer = /^bearer\s+(.+)$/i.exec(headers.authorization ?? '');
  const header = headers['x-api-key'];
  return bearer?.[1]?.trim() ?? (typeof header === 'string' ? header : '');
}
