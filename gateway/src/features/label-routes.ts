import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import type { LabelService } from './label-service.ts';
import { exportedFeature, featureIndex, featureWire, toExported, toFeature } from './schemas.ts';

const byId = z.object({ id: z.string() });
const tags = ['features'];
const largestUpload = 256 * 1024 * 1024;

const report = z
  .object({ format: z.string(), imported: z.int(), kept: z.int(), skipped: z.int() })
  .meta({ id: 'LabelReport' });

export const labelRoutes: FastifyPluginAsyncZod<{ labels: LabelService }> = async (app, { labels }) => {
  app.put(
    '/:id/features/:index/label',
    {
      schema: {
        tags,
        summary: 'Write a label by hand; imports leave it alone. null takes it away',
        params: z.object({ id: z.string(), index: featureIndex }),
        body: z.object({ label: z.string().trim().min(1).max(500).nullable() }),
        response: answers(featureWire),
      },
    },
    async (request) => {
      const { id, index } = request.params;
      const { row, suggested } = await labels.setLabel(id, index, request.body.label);
      return ok(toFeature(row, suggested));
    },
  );

  app.get(
    '/:id/labels/export',
    {
      schema: {
        tags,
        summary: 'Every label of an SAE, as one document or as lines in the form of Neuronpedia',
        params: byId,
        querystring: z.object({ format: z.enum(['json', 'jsonl']).default('json') }),
        response: {
          ...answers(
            z.object({ sae_id: z.string(), n_features: z.int().optional(), features: z.array(exportedFeature) }),
          ),
        },
      },
    },
    async (request, reply) => {
      const { sae, rows } = await labels.exportAll(request.params.id);
      const size = sae.attached?.d_sae ?? sae.row.dSae;
      const features = rows.map(toExported);
      if (request.query.format === 'json') {
        return ok({ sae_id: sae.row.id, ...(size !== null && { n_features: size }), features });
      }
      const layer = sae.attached?.layer ?? sae.row.layer;
      const lines = features.map(({ index, label, density, max_activation }) =>
        JSON.stringify({
          modelId: sae.modelName,
          layer,
          index,
          description: label,
          frac_nonzero: density,
          maxActApprox: max_activation,
        }),
      );
      void reply.header('content-disposition', `attachment; filename="${encodeURIComponent(sae.row.id)}.jsonl"`);
      return reply
        .type('application/x-ndjson')
        .serializer(String)
        .send(`${lines.join('\n')}\n` as never);
    },
  );

  await app.register(uploadRoute, { labels });
};

/** The body is whatever file it is, read as bytes. */
const uploadRoute: FastifyPluginAsyncZod<{ labels: LabelService }> = async (app, { labels }) => {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: largestUpload }, (_request, bytes, done) =>
    done(null, bytes),
  );
  app.post(
    '/:id/labels/import',
    {
      schema: {
        tags,
        summary:
          'Import labels: our own file, Neuronpedia lines (plain or gzip) or ZIP, an answer of a miStudio server; with `from` fetched from such a server, with `profile` those of a profile',
        params: byId,
        querystring: z.object({
          profile: z.string().optional(),
          from: z
            .url()
            .max(2_000)
            .optional()
            .describe('…/api/v1/saes/{id}/features of a miStudio server, or of an extraction.'),
        }),
        response: answers(report),
      },
    },
    async (request) => {
      const { id } = request.params;
      const { profile, from } = request.query;
      if (profile !== undefined) return ok(await labels.importProfile(id, profile));
      if (from !== undefined) return ok(await labels.importFrom(id, from));
      return ok(await labels.importFile(id, Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)));
    },
  );
};
