import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok, page } from '../envelope.ts';
import type { RequestRecorder } from './recorder.ts';
import type { RequestRepository, RequestRow } from './repository.ts';

const tags = ['system'];

const requestWire = z
  .object({
    id: z.string(),
    at: z.string(),
    endpoint: z.string(),
    model: z.string(),
    stream: z.boolean(),
    status: z.int(),
    error_code: z.string().nullable(),
    finish_reason: z.string().nullable(),
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    cached_tokens: z.int(),
    ttft_ms: z.number().nullable(),
    duration_ms: z.number(),
    steering: z.string(),
  })
  .meta({ id: 'LoggedRequest' });

const toWire = (row: RequestRow): z.output<typeof requestWire> => ({
  id: row.id,
  at: row.at.toISOString(),
  endpoint: row.endpoint,
  model: row.modelName,
  stream: row.stream,
  status: row.status,
  error_code: row.errorCode,
  finish_reason: row.finishReason,
  prompt_tokens: row.promptTokens,
  completion_tokens: row.completionTokens,
  cached_tokens: row.cachedTokens,
  ttft_ms: row.ttftMs,
  duration_ms: row.durationMs,
  steering: row.steering,
});

export interface RequestRoutesOptions {
  requests: RequestRepository;
  recorder: RequestRecorder;
}

export const requestRoutes: FastifyPluginAsyncZod<RequestRoutesOptions> = async (app, { requests, recorder }) => {
  app.get(
    '/',
    {
      schema: {
        tags,
        summary: 'The request log, the newest first; empty unless request_log_enabled is set',
        querystring: z.object({
          skip: z.coerce.number().int().min(0).default(0),
          limit: z.coerce.number().int().min(1).max(500).default(50),
          model: z.string().optional(),
          failed: z
            .enum(['true', 'false'])
            .transform((word) => word === 'true')
            .optional(),
        }),
        response: answers(page(requestWire)),
      },
    },
    async (request) => {
      await recorder.flush();
      const { rows, total } = await requests.page(request.query);
      return ok({ items: rows.map(toWire), total, skip: request.query.skip, limit: request.query.limit });
    },
  );

  app.delete(
    '/',
    { schema: { tags, summary: 'Empty the request log', response: answers(z.object({ deleted: z.int() })) } },
    async () => ok({ deleted: await requests.clear() }),
  );
};
