import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok, page } from '../envelope.ts';
import { featureDetail, featureIndex, featureWire } from './schemas.ts';
import type { FeatureService } from './service.ts';

const query = z.object({
  search: z.string().max(200).optional(),
  skip: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  suggested: z.stringbool().default(false).describe('Only those with a `suggested_strength`.'),
});

export const featureRoutes: FastifyPluginAsyncZod<{ features: FeatureService }> = async (app, { features }) => {
  app.get(
    '/:id/features',
    {
      schema: {
        tags: ['features'],
        summary: 'The labelled features of an SAE; `search` matches labels and the index',
        params: z.object({ id: z.string() }),
        querystring: query,
        response: answers(page(featureWire)),
      },
    },
    async (request) => {
      const { search, suggested: isSuggested, ...bounds } = request.query;
      const query = { search: search === '' ? undefined : search, isSuggested, ...bounds };
      return ok(await features.page(request.params.id, query));
    },
  );

  app.get(
    '/:id/features/:index',
    {
      schema: {
        tags: ['features'],
        summary: 'One feature: label, statistics, contexts, what its decoder row promotes, its neighbours',
        params: z.object({ id: z.string(), index: featureIndex }),
        response: answers(featureDetail),
      },
    },
    async (request) => ok(await features.detail(request.params.id, request.params.index, request.id)),
  );
};
