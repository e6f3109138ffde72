import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import { modelWire, toWire } from './schemas.ts';
import type { ModelService } from './service.ts';

const byId = z.object({ id: z.string() });

export const modelRoutes: FastifyPluginAsyncZod<{ models: ModelService }> = async (app, { models }) => {
  app.get(
    '/',
    { schema: { tags: ['models'], summary: 'Every model this server knows', response: answers(z.array(modelWire)) } },
    async () => ok((await models.list()).map(toWire)),
  );

  app.get(
    '/:id',
    { schema: { tags: ['models'], summary: 'One model', params: byId, response: answers(modelWire) } },
    async (request) => ok(toWire(await models.get(request.params.id))),
  );

  const actions = {
    load: { summary: 'Load it, replacing the loaded one', status: 202, run: models.load },
    unload: { summary: 'Unload it', status: 200, run: models.unload },
    lock: { summary: 'Keep it loaded', status: 200, run: (id: string) => models.setLocked(id, true) },
    unlock: { summary: 'Let it be replaced again', status: 200, run: (id: string) => models.setLocked(id, false) },
  };
  for (const [name, { summary, status, run }] of Object.entries(actions)) {
    app.post(
      `/:id/${name}`,
      { schema: { tags: ['models'], summary, params: byId, response: answers(modelWire, status) } },
      async (request, reply) => {
        void reply.status(status);
        return ok(toWire(await run(request.params.id)));
      },
    );
  }
};
