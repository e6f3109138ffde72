import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AppError } from '../errors.ts';

const digest = (key: string) => createHash('sha256').update(key).digest();

/** Guards a scope when keys are configured; otherwise any or no key is accepted. */
export function requireKey(
  app: FastifyInstance,
  keys: readonly string[],
  isOpen: (request: FastifyRequest) => boolean,
): void {
  if (keys.length === 0) return;
  const known = keys.map(digest);
  app.addHook('onRequest', async (request) => {
    if (request.method === 'OPTIONS' || isOpen(request)) return;
    const given = digest(keyOf(request));
    // Every key is compared, so that time tells nothing.
    const matches = known.filter((key) => timingSafeEqual(key, given));
    if (matches.length > 0) return;
    throw new AppError('UNAUTHORIZED', 'Incorrect API key provided.', {
      headers: { 'www-authenticate': 'Bearer' },
    });
  });
}

function keyOf(request: FastifyRequest): string {
  const bearer = /^bearer\s+(.+)$/i.exec(request.headers.authorization ?? '');
  const header = request.headers['x-api-key'];
  return bearer?.[1]?.trim() ?? (typeof header === 'string' ? header : '');
}
