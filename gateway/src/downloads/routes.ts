import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import { downloadWire, repository, toWire } from './schemas.ts';
import type { DownloadService } from './service.ts';

const byId = z.object({ id: z.string() });
const tags = ['downloads'];

export interface DownloadRoutesOptions {
  downloads: DownloadService;
  /** The token of this server, for calls that bring none. */
  hubToken: string | undefined;
}

export const downloadRoutes: FastifyPluginAsyncZod<DownloadRoutesOptions> = async (app, { downloads, hubToken }) => {
  app.get(
    '/',
    { schema: { tags, summary: 'Every download, the newest first', response: answers(z.array(downloadWire)) } },
    async () => ok((await downloads.list()).map(toWire)),
  );

  app.post(
    '/:id/cancel',
    { schema: { tags, summary: 'Stop it; what is on disk stays', params: byId, response: answers(downloadWire) } },
    async (request) => ok(toWire(await downloads.cancel(request.params.id))),
  );

  app.post(
    '/:id/retry',
    {
      schema: {
        tags,
        summary: 'Start it again where it stopped',
        params: byId,
        body: z.object({ hf_token: repository.hf_token }).nullish(),
        response: answers(downloadWire, 202),
      },
    },
    async (request, reply) => {
      void reply.status(202);
      return ok(toWire(await downloads.retry(request.params.id, request.body?.hf_token ?? hubToken ?? null)));
    },
  );
};
