import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import { contrast, contrastBody, entry, readBody } from './schemas.ts';
import type { ActivationService } from './service.ts';

export const activationRoutes: FastifyPluginAsyncZod<{ activations: ActivationService }> = async (app, options) => {
  const { activations } = options;
  app.post(
    '/',
    {
      schema: {
        tags: ['activations'],
        summary: 'What fires on a text, token by token, without generating',
        body: readBody,
        response: answers(z.object({ sae_id: z.string(), tokens: z.array(entry) })),
      },
    },
    async (request) => ok(await activations.read(request.body, request.id)),
  );
  app.post(
    '/contrast',
    {
      schema: {
        tags: ['activations'],
        summary: 'The features that tell two sets of texts apart',
        body: contrastBody,
        response: answers(contrast),
      },
    },
    async (request) => ok(await activations.contrast(request.body, request.id)),
  );
};
