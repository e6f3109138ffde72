import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import { featureIndex } from '../features/schemas.ts';
import { operations, steering as steeringBody, strengthLimit } from './schemas.ts';
import type { SteeringService } from './service.ts';

const activeWire = z
  .object({
    enabled: z.boolean(),
    intensity: z.number(),
    sae_id: z.string().nullable(),
    features: z.array(z.looseObject({ index: z.int(), label: z.string().nullable() })),
  })
  .meta({ id: 'ActiveSteering' });

const featureChange = z.object({
  strength: z.number().min(-strengthLimit).max(strengthLimit).nullish(),
  value: z.number().nullish(),
  op: z.enum(operations).optional(),
  sae_id: z.string().nullish(),
});

export const steeringRoutes: FastifyPluginAsyncZod<{ steering: SteeringService }> = async (app, { steering }) => {
  const schema = (summary: string) => ({ tags: ['steering'], summary, response: answers(activeWire) });

  app.get('/', { schema: schema('The active configuration: what requests get that name no steering') }, async () =>
    ok(await steering.describe()),
  );

  app.put('/', { schema: { ...schema('Replace the active configuration'), body: steeringBody } }, async (request) =>
    ok(await steering.store(request.body)),
  );

  app.delete('/', { schema: schema('Empty the active configuration') }, async () => ok(await steering.clear()));

  app.patch(
    '/features/:index',
    {
      schema: {
        ...schema('Set one feature; a null strength takes it out'),
        params: z.object({ index: featureIndex }),
        body: featureChange,
      },
    },
    async (request) => ok(await steering.setFeature(request.params.index, request.body)),
  );

  app.post('/enable', { schema: schema('Apply the active configuration again') }, async () =>
    ok(await steering.setEnabled(true)),
  );
  app.post('/disable', { schema: schema('Keep the active configuration but apply it to nobody') }, async () =>
    ok(await steering.setEnabled(false)),
  );
};
