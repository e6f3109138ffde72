// Bodies of /v1: JSON and nothing else, with the exact digits of a 64-bit seed kept.
import type { FastifyInstance } from 'fastify';
import { AppError } from '../errors.ts';

const longInteger = /^-?\d{16,}$/;

export function acceptJsonOnly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) => {
    try {
      done(null, parseJson(text as string));
    } catch {
      done(new AppError('INVALID_JSON', 'The request body is not valid JSON.'), undefined);
    }
  });
}

function parseJson(text: string): unknown {
  if (!/"seed"\s*:\s*-?\d{16}/.test(text)) return JSON.parse(text);
  const exactSeed = (key: string, value: unknown, { source }: { source?: string }) =>
    key === 'seed' && source !== undefined && longInteger.test(source) ? BigInt(source) : value;
  return JSON.parse(text, exactSeed as (key: string, value: unknown) => unknown);
}
