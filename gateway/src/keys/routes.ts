import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import { createdKeyWire, keyChangeBody, keyWire, newKeyBody, toWire } from './schemas.ts';
import type { KeyService } from './service.ts';

const tags = ['system'];
const byId = z.object({ id: z.string() });

export const keyRoutes: FastifyPluginAsyncZod<{ keys: KeyService }> = async (app, { keys }) => {
  app.get(
    '/',
    {
      schema: { tags, summary: 'API keys, the newest first, never their secrets', response: answers(z.array(keyWire)) },
    },
    async () => ok((await keys.list()).map(toWire)),
  );

  app.post(
    '/',
    {
      schema: {
        tags,
        summary: 'Make an API key; its secret is in this answer and nowhere else',
        body: newKeyBody,
        response: answers(createdKeyWire, 201),
      },
    },
    async (request, reply) => {
      const { row, secret } = await keys.create(request.body);
      request.log.info({ event: 'key:created', key_id: row.id, scopes: row.scopes }, 'API key made');
      void reply.status(201).header('cache-control', 'no-store');
      return ok({ ...toWire(row), secret });
    },
  );

  app.patch(
    '/:id',
    { schema: { tags, summary: 'Rename an API key', params: byId, body: keyChangeBody, response: answers(keyWire) } },
    async (request) => ok(toWire(await keys.rename(request.params.id, request.body.name))),
  );

  app.delete(
    '/:id',
    { schema: { tags, summary: 'Revoke an API key, at once', params: byId, response: answers(keyWire) } },
    async (request) => {
      const row = await keys.revoke(request.params.id);
      request.log.info({ event: 'key:revoked', key_id: row.id }, 'API key revoked');
      return ok(toWire(row));
    },
  );
};
