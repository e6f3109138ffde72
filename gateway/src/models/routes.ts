import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import { downloadBody, importBody, modelWire, previewBody, previewWire, toWire } from './schemas.ts';
import type { ModelAcquisition } from './acquire.ts';
import type { ModelRemoval } from './remove.ts';
import type { ModelService } from './service.ts';

const byId = z.object({ id: z.string() });

export interface ModelRoutesOptions {
  models: ModelService;
  acquisition: ModelAcquisition;
  removal: ModelRemoval;
}

export const modelRoutes: FastifyPluginAsyncZod<ModelRoutesOptions> = async (app, options) => {
  const { models, acquisition, removal } = options;

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

  app.post(
    '/',
    {
      schema: {
        tags: ['models'],
        summary: 'Download a model from the hub; asked twice it is one download',
        body: downloadBody,
        response: answers(modelWire, 202),
      },
    },
    async (request, reply) => {
      void reply.status(202);
      return ok(toWire(models.view(await acquisition.download(request.body))));
    },
  );

  app.post(
    '/preview',
    {
      schema: {
        tags: ['models'],
        summary: 'What a repository holds, and whether it would fit here',
        body: previewBody,
        response: answers(previewWire),
      },
    },
    async (request) => ok(await acquisition.preview(request.body)),
  );

  app.post(
    '/import',
    {
      schema: {
        tags: ['models'],
        summary: "Take up a directory or a GGUF file of the inference service's disk",
        body: importBody,
        response: answers(modelWire, 201),
      },
    },
    async (request, reply) => {
      void reply.status(201);
      return ok(toWire(models.view(await acquisition.importFile(request.body))));
    },
  );

  app.delete(
    '/:id',
    {
      schema: {
        tags: ['models'],
        summary: 'Forget it, and free the disk of what was downloaded',
        params: byId,
        response: answers(z.object({ model_id: z.string(), freed_bytes: z.number() })),
      },
    },
    async (request) => ok(await removal.remove(request.params.id)),
  );

  const actions = {
    cancel: { summary: 'Stop its download, or its loading', status: 200, run: removal.cancel },
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
