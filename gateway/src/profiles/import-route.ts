// POST /api/profiles/import, and of clusters or circuits alone where the route is of one kind. The body is read as text, because
// duplicate keys and digits are gone after JSON.parse.
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import { largestProbe } from './exchange/recognise.ts';
import { importAnswer, toDetail, toWire } from './schemas.ts';
import type { ProfileService } from './service.ts';

const yes = z.enum(['true', 'false', '1', '0']).transform((word) => word === 'true' || word === '1');

export interface ImportRouteOptions {
  profiles: ProfileService;
  /** Nothing else is taken. */
  kind?: 'cluster' | 'circuit';
}

export const importRoute: FastifyPluginAsyncZod<ImportRouteOptions> = async (app, { profiles, kind }) => {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: largestProbe }, (_request, text, done) =>
    done(null, text),
  );

  app.post(
    '/import',
    {
      schema: {
        tags: ['profiles'],
        summary:
          kind === undefined
            ? 'Import a profile, a cluster, a bundle of clusters, a circuit or a probe; its content says which'
            : `Import a ${kind}; every other document is refused`,
        querystring: z.object({
          activate: yes.optional(),
          acknowledge_unvalidated: yes.optional(),
          on_conflict: z.enum(['rename', 'fail']).default('rename'),
          on_invalid: z.enum(['refuse', 'skip']).default('refuse'),
          sae_id: z.string().optional().describe('The SAE to bind it to, whatever the document says.'),
        }),
        body: z.string().describe('The document, as JSON.'),
        response: answers(importAnswer),
      },
    },
    async (request) => {
      const { activate, acknowledge_unvalidated, on_conflict, on_invalid, sae_id } = request.query;
      const report = await profiles.importDocument(request.body, {
        ...(kind !== undefined && { formats: [kind] }),
        // A circuit is activated by a call of its own, which sees its evidence.
        activate: kind !== 'circuit' && (activate ?? false),
        acknowledge: acknowledge_unvalidated ?? false,
        onConflict: on_conflict,
        onInvalid: on_invalid,
        saeId: sae_id ?? null,
      });
      const ids = report.results.flatMap(({ profile_id }) => profile_id ?? []);
      const views = await Promise.all(ids.map((id) => profiles.get(id)));
      const [only] = views;
      const isSingle = report.results.length === 1;
      return ok({
        profile: isSingle && only ? toDetail(only) : null,
        profiles: views.map(toWire),
        status: isSingle ? (report.results[0]?.status ?? 'error') : report.errors > 0 ? 'partial' : 'imported',
        warnings: report.results.flatMap(({ warnings }) => warnings),
        dropped: report.results.flatMap(({ dropped }) => dropped),
        ...report,
      });
    },
  );
};
