// Who may enter a scope of routes. Off unless keys are required; a known key is named in the log either way.
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { AppError } from '../errors.ts';
import type { Scope } from '../keys/schemas.ts';
import { allows } from '../keys/service.ts';
import type { KeyHolder, KeyService } from '../keys/service.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the key it was sent with, if we know that one. */
    keyId: string | null;
  }
}

export interface GuardOptions {
  keys: Pick<KeyService, 'isRequired' | 'identify'>;
  /** Any of these opens the door. */
  scopes: (request: FastifyRequest) => readonly Scope[];
  isOpen: (request: FastifyRequest) => boolean;
}

export function guard(app: FastifyInstance, { keys, scopes, isOpen }: GuardOptions): void {
  app.addHook('onRequest', async (request) => {
    if (request.method === 'OPTIONS') return;
    const holder = await keys.identify(keyOf(request.headers));
    request.keyId = holder?.id ?? null;
    if (!keys.isRequired || isOpen(request)) return;
    refuseUnless(holder, scopes(request));
  });
}

/** Throws unless the holder may do what any of the scopes allows. */
export function refuseUnless(holder: KeyHolder | null, scopes: readonly Scope[]): asserts holder is KeyHolder {
  if (holder === null) {
    throw new AppError('UNAUTHORIZED', 'Incorrect API key provided.', { headers: { 'www-authenticate': 'Bearer' } });
  }
  if (allows(holder, scopes)) return;
  throw new AppError('FORBIDDEN', `This API key may not do that: it needs the scope ${scopes.join(' or ')}.`);
}

/** A bearer token or an X-Api-Key header; empty when there is neither. */
export function keyOf(headers: IncomingHttpHeaders): string {
  const bearer = /^bearer\s+(.+)$/i.exec(headers.authorization ?? '');
  const header = headers['x-api-key'];
  return bearer?.[1]?.trim() ?? (typeof header === 'string' ? header : '');
}
