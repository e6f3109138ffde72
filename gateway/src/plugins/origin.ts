// Pages of other origins. Browsers let any page open a WebSocket, and send a plain POST, to any address it can reach.
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { AppError } from '../errors.ts';

/** Our own page, one that was named, or no page at all. */
export function isOwnPage({ headers }: Pick<IncomingMessage, 'headers'>, named: readonly string[]): boolean {
  const { origin } = headers;
  if (origin === undefined || named.includes(origin)) return true;
  const host = URL.parse(origin)?.host;
  return host !== undefined && host !== '' && (host === headers.host || host === headers['x-forwarded-host']);
}

/** Keeps a page that somebody happens to visit from changing anything here, keys or not. */
export function refuseForeignPages(app: FastifyInstance, origins: readonly string[]): void {
  app.addHook('onRequest', async (request) => {
    if (request.method === 'GET' || request.method === 'HEAD' || isOwnPage(request, origins)) return;
    throw new AppError(
      'FORBIDDEN',
      `Pages of ${request.headers.origin} may not change this server; name their origin in MILLM_CORS_ORIGINS to allow it.`,
    );
  });
}
