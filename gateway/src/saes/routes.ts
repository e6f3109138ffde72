import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { DownloadService } from '../downloads/service.ts';
import { answers, ok, page } from '../envelope.ts';
import type { InferenceClient } from '../inference/client.ts';
import type { SaeAcquisition } from './acquire.ts';
import {
  compatibilityWire,
  downloadBody,
  importBody,
  placement,
  previewBody,
  previewWire,
  registryQuery,
  registryWire,
  saeWire,
  toWire,
} from './schemas.ts';
import type { SaeService } from './service.ts';

const byId = z.object({ id: z.string() });
const tags = ['saes'];

export interface SaeRoutesOptions {
  saes: SaeService;
  acquisition: SaeAcquisition;
  downloads: DownloadService;
  client: Pick<InferenceClient, 'deleteFiles'>;
}

export const saeRoutes: FastifyPluginAsyncZod<SaeRoutesOptions> = async (
  app,
  { saes, acquisition, downloads, client },
) => {
  app.get(
    '/',
    { schema: { tags, summary: 'Every SAE this server knows', response: answers(z.array(saeWire)) } },
    async () => ok((await saes.list()).map(toWire)),
  );

  app.post(
    '/',
    {
      schema: {
        tags,
        summary: 'Download an SAE from the hub; asked twice it is one download',
        body: downloadBody,
        response: answers(saeWire, 202),
      },
    },
    async (request, reply) => {
      void reply.status(202);
      return ok(toWire(await saes.view(await acquisition.download(request.body))));
    },
  );

  app.post(
    '/preview',
    {
      schema: { tags, summary: 'The SAEs that a repository holds', body: previewBody, response: answers(previewWire) },
    },
    async (request) => ok(await acquisition.preview(request.body)),
  );

  app.get(
    '/registry',
    {
      schema: {
        tags,
        summary: 'The SAEs that the SAELens registry knows; `release` and `sae_id` are what a download takes',
        querystring: registryQuery,
        response: answers(page(registryWire)),
      },
    },
    async ({ query }) => {
      const { items, total } = await acquisition.registry(query);
      return ok({ items, total, skip: query.skip, limit: query.limit });
    },
  );

  app.post(
    '/import',
    {
      schema: {
        tags,
        summary: "Take up a folder of the inference service's disk",
        body: importBody,
        response: answers(saeWire, 201),
      },
    },
    async (request, reply) => {
      void reply.status(201);
      return ok(toWire(await saes.view(await acquisition.importFolder(request.body))));
    },
  );

  app.get('/:id', { schema: { tags, summary: 'One SAE', params: byId, response: answers(saeWire) } }, async (request) =>
    ok(toWire(await saes.get(request.params.id))),
  );

  app.delete(
    '/:id',
    {
      schema: {
        tags,
        summary: 'Forget it with its labels, and free the disk of what was downloaded',
        params: byId,
        response: answers(z.object({ sae_id: z.string(), freed_bytes: z.number() })),
      },
    },
    async (request) => ok(await saes.remove(request.params.id, downloads, client)),
  );

  app.get(
    '/:id/compatibility',
    {
      schema: {
        tags,
        summary: 'Whether it fits the loaded model, at a layer',
        params: byId,
        querystring: z.object({ layer: z.coerce.number().int().min(0).optional() }),
        response: answers(compatibilityWire),
      },
    },
    async (request) => ok(await saes.compatibility(request.params.id, request.query.layer ?? null)),
  );

  app.post(
    '/:id/attach',
    {
      schema: {
        tags,
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
    { schema: { tags, summary: 'Detach it', params: byId, response: answers(saeWire) } },
    async (request) => ok(toWire(await saes.detach(request.params.id))),
  );
};
