// Headers, strictness and the two ways to answer, the same for every generating route.
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { AppError } from '../errors.ts';
import { completionFraming, sseFrames } from './stream.ts';
import type { Framing } from './stream.ts';
import type { Started } from './chat.ts';
import { ignoredFieldsHeader, unknownFields } from './unknown-fields.ts';

const strictWords: Readonly<Record<string, boolean>> = { '1': true, true: true, '0': false, false: false };

/** Lists fields nobody reads in a header; in strict mode refuses them. */
export function reportUnknownFields(
  schema: z.ZodType,
  request: FastifyRequest,
  reply: FastifyReply,
  isStrictServer: boolean,
): void {
  const fields = unknownFields(schema, request.body);
  const header = ignoredFieldsHeader(fields);
  if (header === null) return;
  if (isStrict(request, isStrictServer)) {
    throw new AppError('VALIDATION_ERROR', `Unknown parameters: ${fields.join(', ')}.`, {
      param: fields[0] ?? null,
      v1Code: 'unsupported_parameter',
    });
  }
  request.log.warn({ event: 'request:ignored-fields', fields }, 'unknown fields ignored');
  void reply.header('x-millm-ignored-fields', header);
}

function isStrict(request: FastifyRequest, isStrictServer: boolean): boolean {
  const asked = request.headers['x-millm-strict'];
  if (asked === undefined) return isStrictServer;
  const strict = strictWords[String(asked).toLowerCase()];
  if (strict === undefined) {
    throw new AppError('VALIDATION_ERROR', 'X-miLLM-Strict must be 1, true, 0 or false.', { param: null });
  }
  return strict;
}

interface Usable {
  usage?: unknown;
  choices: unknown[];
}

export function sendStream<Chunk extends Usable>(
  request: FastifyRequest,
  reply: FastifyReply,
  started: Started<Chunk>,
  keepaliveMs: number,
): FastifyReply {
  return sendEvents(request, reply, withUsage(started), completionFraming, keepaliveMs);
}

export function sendEvents<T>(
  request: FastifyRequest,
  reply: FastifyReply,
  events: AsyncIterable<T>,
  framing: Framing<T>,
  keepaliveMs: number,
): FastifyReply {
  const frames = sseFrames(events, framing, {
    keepaliveMs,
    onFailure: (error) => {
      request.log.error({ event: 'request:failed-late', code: error.code, err: error }, error.message);
    },
  });
  return reply
    .header('content-type', 'text/event-stream; charset=utf-8')
    .header('cache-control', 'no-cache')
    .header('x-accel-buffering', 'no')
    .send(Readable.from(frames, { objectMode: false, highWaterMark: 16 * 1024 }));
}

/** Asked for: `usage: null` on every chunk but the last. Not asked for: no `usage` anywhere, and no last chunk. */
async function* withUsage<Chunk extends Usable>({ chunks, includeUsage }: Started<Chunk>): AsyncGenerator<Usable> {
  for await (const chunk of chunks) {
    const isLast = chunk.choices.length === 0;
    if (includeUsage) yield isLast ? chunk : { ...chunk, usage: null };
    else if (!isLast) yield chunk;
  }
}

export function extensionHeaders(reply: FastifyReply, started: Started<unknown>): void {
  const { steering, intensity, constrained } = started;
  void reply.header('x-millm-steering', steering);
  if (steering !== 'none' && intensity !== 1) void reply.header('x-millm-steering-intensity', String(intensity));
  if (constrained !== null) void reply.header('x-millm-constrained', constrained);
}
