// /api/clusters and /api/circuits: the names under which miStudio imports and exports two kinds of profile.
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { failure } from '../envelope.ts';
import { importRoute } from './import-route.ts';
import type { ProfileService } from './service.ts';

export interface CompatOptions {
  profiles: ProfileService;
  kind: 'cluster' | 'circuit';
}

export const compatRoutes: FastifyPluginAsyncZod<CompatOptions> = async (app, { profiles, kind }) => {
  await app.register(importRoute, { profiles, kind });

  app.get(
    '/:id/export',
    {
      schema: {
        tags: ['profiles'],
        summary: `The document of a ${kind} itself, without an envelope: what miStudio reads`,
        params: z.object({ id: z.string() }),
        response: { 200: z.record(z.string(), z.unknown()), '4xx': failure, '5xx': failure },
      },
    },
    async (request) => (await profiles.exportOne(request.params.id, kind, null)).document as Record<string, unknown>,
  );
};
