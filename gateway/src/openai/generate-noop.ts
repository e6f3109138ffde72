import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';

/** miStudio asks Ollama's way to free the model after labelling. It is ours to keep: agree, and do nothing. */
export const generateNoop: FastifyPluginAsyncZod = async (app) => {
  app.post(
    '/generate',
    { schema: { hide: true, body: z.looseObject({ model: z.string().nullish() }).nullish() } },
    async (request) => ({
      model: request.body?.model ?? null,
      created_at: new Date().toISOString(),
      response: '',
      done: true,
      done_reason: 'unload',
    }),
  );
};
