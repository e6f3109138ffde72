import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok, page } from '../envelope.ts';
import type { RecordedFrame } from './recorder.ts';
import {
  featureStatistics,
  historyQuery,
  monitorChange,
  monitorRecord,
  monitorState,
  statisticsQuery,
} from './schemas.ts';
import type { Monitoring } from './service.ts';

const statisticsWire = z
  .object({
    sae_id: z.string().nullable(),
    features: z.array(featureStatistics),
    total_activations: z.int().describe('Tokens that were read.'),
    since: z.string(),
  })
  .meta({ id: 'MonitorStatistics' });

export const monitorRoutes: FastifyPluginAsyncZod<{ monitoring: Monitoring }> = async (app, { monitoring }) => {
  const tags = ['monitor'];
  const describe = () => ({ ...monitoring.info(), requests: monitoring.requests() });

  app.get(
    '/',
    { schema: { tags, summary: 'What is watched, and the requests seen lately', response: answers(monitorState) } },
    async () => ok(describe()),
  );

  app.put(
    '/',
    {
      schema: {
        tags,
        summary: 'Pause, set what is always watched, size the history; what is left out stays as it is',
        body: monitorChange,
        response: answers(monitorState),
      },
    },
    async ({ body }) => {
      const before = monitoring.settings();
      for (const watch of body.watches ?? []) monitoring.resolve(watch);
      await monitoring.configure({
        paused: body.paused ?? before.paused,
        watches: body.watches ?? before.watches,
        history_size: body.history_size ?? before.history_size,
      });
      return ok(describe());
    },
  );

  app.get(
    '/history',
    {
      schema: {
        tags,
        summary: 'Tokens that were watched, newest first',
        querystring: historyQuery,
        response: answers(page(monitorRecord)),
      },
    },
    async ({ query }) => {
      const { items, total } = monitoring.history(query);
      return ok({ items: items.map(toRecord), total, skip: query.skip, limit: query.limit });
    },
  );

  app.delete(
    '/history',
    { schema: { tags, summary: 'Forget history and statistics', response: answers(monitorState) } },
    async () => {
      await monitoring.clear();
      return ok(describe());
    },
  );

  app.get(
    '/statistics',
    {
      schema: {
        tags,
        summary: 'Running statistics per feature since the last clearing',
        querystring: statisticsQuery,
        response: answers(statisticsWire),
      },
    },
    async ({ query: { sae_id, features, sort, limit } }) => {
      const saeId = sae_id ?? monitoring.saeIds()[0] ?? null;
      const known = saeId === null ? [] : await monitoring.statistics(saeId, features);
      return ok({
        sae_id: saeId,
        features: known.sort((a, b) => b[sort] - a[sort]).slice(0, limit),
        total_activations: saeId === null ? 0 : monitoring.tokens(saeId),
        since: monitoring.info().since,
      });
    },
  );
};

function toRecord({ position, features, ...frame }: RecordedFrame): z.output<typeof monitorRecord> {
  return {
    ...frame,
    token_position: position,
    activations: Object.fromEntries(features.map(({ index, value }) => [String(index), value])),
    top_k: features
      .filter(({ value }) => value > 0)
      .sort((a, b) => b.value - a.value)
      .map(({ index, value }): [number, number] => [index, value]),
    features,
  };
}
