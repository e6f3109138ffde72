import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';

/** Browser clients of /v1. Requested headers are reflected: the official clients' set changes with each release. */
export async function allowBrowsers(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  if (origins.length === 0) return;
  await app.register(cors, {
    origin: origins.includes('*') ? '*' : origins.map(originPattern),
    methods: ['GET', 'POST', 'OPTIONS'],
    exposedHeaders: ['x-request-id', 'x-millm-steering', 'x-millm-steering-intensity', 'x-millm-ignored-fields'],
    strictPreflight: false,
    maxAge: 600,
  });
}

/** `app://*` matches by prefix; everything else is an exact origin. */
function originPattern(origin: string): string | RegExp {
  if (!origin.includes('*')) return origin;
  const escaped = origin.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*');
  return new RegExp(`^${escaped}$`);
}
