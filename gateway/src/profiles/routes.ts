import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import { importRoute } from './import-route.ts';
import { formats } from './exchange/draft.ts';
import { newProfileBody, profileChangeBody, profileDetail, profileWire, toDetail, toWire } from './schemas.ts';
import type { ProfileService } from './service.ts';

const byId = z.object({ id: z.string() });
const tags = ['profiles'];
const yes = z.enum(['true', 'false', '1', '0']).transform((word) => word === 'true' || word === '1');

/** A document, and beside it what its format had no room for. */
const exported = z.object({
  success: z.literal(true),
  data: z.record(z.string(), z.unknown()),
  error: z.null(),
  left_out: z.array(z.string()),
});

export const profileRoutes: FastifyPluginAsyncZod<{ profiles: ProfileService }> = async (app, { profiles }) => {
  await app.register(importRoute, { profiles });

  app.get('/', { schema: { tags, summary: 'Every profile', response: answers(z.array(profileWire)) } }, async () =>
    ok((await profiles.list()).map(toWire)),
  );

  app.post(
    '/',
    { schema: { tags, summary: 'Make a profile', body: newProfileBody, response: answers(profileDetail, 201) } },
    async (request, reply) => {
      void reply.status(201);
      return ok(toDetail(await profiles.create(request.body)));
    },
  );

  app.post(
    '/save-current',
    {
      schema: {
        tags,
        summary: 'Keep the active configuration as a profile',
        body: newProfileBody.pick({ name: true, description: true }),
        response: answers(profileDetail, 201),
      },
    },
    async (request, reply) => {
      void reply.status(201);
      return ok(toDetail(await profiles.saveCurrent(request.body)));
    },
  );

  app.post(
    '/deactivate',
    {
      schema: {
        tags,
        summary: 'No profile is active any more; the active configuration is emptied unless told otherwise',
        body: z.object({ clear_steering: z.boolean().optional() }).nullish(),
        response: answers(z.object({ profile_id: z.string().nullable(), cleared_steering: z.boolean() })),
      },
    },
    async (request) => ok(await profiles.deactivate(request.body?.clear_steering ?? true)),
  );

  app.get(
    '/export',
    {
      schema: {
        tags,
        summary: 'Several profiles as one cluster bundle',
        querystring: z.object({ ids: z.string().describe('Ids, separated by commas.') }),
        response: { ...answers(z.unknown()), 200: exported },
      },
    },
    async (request) => {
      const ids = request.query.ids.split(',').filter((id) => id !== '');
      return { ...ok(await profiles.exportBundle(ids)), left_out: [] };
    },
  );

  app.get(
    '/:id',
    { schema: { tags, summary: 'One profile with its features', params: byId, response: answers(profileDetail) } },
    async (request) => ok(toDetail(await profiles.get(request.params.id))),
  );

  app.patch(
    '/:id',
    {
      schema: {
        tags,
        summary: 'Change what is named; `features` replaces the list',
        params: byId,
        body: profileChangeBody,
        response: answers(profileDetail),
      },
    },
    async (request) => ok(toDetail(await profiles.change(request.params.id, request.body))),
  );

  app.delete(
    '/:id',
    {
      schema: {
        tags,
        summary: 'Delete it; an active one takes its steering along',
        params: byId,
        response: answers(z.object({ profile_id: z.string(), was_active: z.boolean() })),
      },
    },
    async (request) => ok(await profiles.remove(request.params.id)),
  );

  app.post(
    '/:id/activate',
    {
      schema: {
        tags,
        summary: 'Make it what requests get that name no steering',
        params: byId,
        querystring: z.object({ acknowledge_unvalidated: yes.optional() }),
        body: z
          .object({ apply_steering: z.boolean().optional(), acknowledge_unvalidated: z.boolean().optional() })
          .nullish(),
        response: answers(
          z.object({
            profile_id: z.string(),
            applied_steering: z.boolean(),
            feature_count: z.int(),
            warnings: z.array(z.string()),
            profile: profileDetail,
          }),
        ),
      },
    },
    async (request) => {
      const { apply_steering: apply = true, acknowledge_unvalidated: inBody } = request.body ?? {};
      const isAcknowledged = inBody ?? request.query.acknowledge_unvalidated ?? false;
      const { view, appliedSteering } = await profiles.activate(request.params.id, isAcknowledged, apply);
      const profile = toDetail(view);
      return ok({
        profile_id: profile.id,
        applied_steering: appliedSteering,
        feature_count: profile.feature_count,
        warnings: profile.warnings,
        profile,
      });
    },
  );

  app.post(
    '/:id/duplicate',
    {
      schema: {
        tags,
        summary: 'A copy under another name',
        params: byId,
        body: z.object({ name: newProfileBody.shape.name.optional() }).nullish(),
        response: answers(profileDetail, 201),
      },
    },
    async (request, reply) => {
      void reply.status(201);
      return ok(toDetail(await profiles.duplicate(request.params.id, request.body?.name)));
    },
  );

  app.get(
    '/:id/export',
    {
      schema: {
        tags,
        summary: 'As a document: in the form it came in, or in another',
        params: byId,
        querystring: z.object({
          format: z.enum(formats).optional(),
          layer: z.coerce.number().int().min(0).optional().describe('One layer of a circuit, with format=cluster.'),
        }),
        response: { ...answers(z.unknown()), 200: exported },
      },
    },
    async (request) => {
      const { format, layer } = request.query;
      const { document, leftOut } = await profiles.exportOne(request.params.id, format ?? null, layer ?? null);
      return { ...ok(document), left_out: leftOut };
    },
  );
};
