import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import { placement, saeWire, toWire } from './schemas.ts';
import type { SaeService } from './service.ts';

const byId = z.object({ id: z.string() });

export const saeRoutes: FastifyPluginAsyncZod<{ saes: SaeService }> = async (app, { saes }) => {
  app.get(
    '/',
    { schema: { tags: ['saes'], summary: 'Every SAE this server knows', response: answers(z.array(saeWire)) } },
    async () => ok((await saes.list()).map(toWire)),
  );

  app.get(
    '/:id',
    { schema: { tags: ['saes'], summary: 'One SAE', params: byId, response: answers(saeWire) } },
    async (request) => ok(toWire(await saes.get(request.params.id))),
  );

  app.post(
    '/:id/attach',
    {
      schema: {
        tags: ['saes'],
        summary: 'Attach it to the loaded model, at the place it was trained for unless told otherwise',
        params: byId,
        body: placement.nullish(),
        response: answers(saeWire),
      },
    },
    async (request) => ok(toWire(await saes.attach(request.params.id, request.body ?? {}))),
  );

  app.post(
    '/:id/detach',
    { schema: { tags: ['saes'], summary: 'Detach it', params: byId, response: answers(saeWire) } },
    async (request) => ok(toWire(await saes.detach(request.params.id))),
  );
};
