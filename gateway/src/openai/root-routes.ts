// What OpenAI-compatible servers have beside /v1: /health, /version, /tokenize, /detokenize.
import type { FastifyPluginAsync } from 'fastify';
import { AppError } from '../errors.ts';
import { clientSignal } from '../inference/client-signal.ts';
import type { Runtime } from '../inference/runtime.ts';
import { version } from '../version.ts';
import { detokenizeRequest, tokenizeRequest } from './schemas.ts';
import type { TokenService } from './tokens.ts';
import { parseBody } from './validate.ts';

export interface RootOptions {
  runtime: Runtime;
  tokens: TokenService;
  isDraining: () => boolean;
}

export const rootRoutes: FastifyPluginAsync<RootOptions> = async (app, { runtime, tokens, isDraining }) => {
  const tags = ['openai'];

  app.get('/health', { schema: { tags, summary: 'Ready to answer' } }, async () => {
    if (isDraining()) throw new AppError('SHUTTING_DOWN', 'The server is shutting down.');
    if (!runtime.isReachable()) throw new AppError('SIDECAR_UNAVAILABLE', 'The inference service is not reachable.');
    if (!runtime.state()?.model) throw new AppError('MODEL_NOT_LOADED', 'Loading model');
    return { status: 'ok' };
  });

  app.get('/version', { schema: { tags, summary: 'Version of this server' } }, async () => ({ version }));

  app.post(
    '/tokenize',
    { schema: { tags, summary: 'Text or conversation → token ids', body: tokenizeRequest } },
    async (request, reply) =>
      tokens.tokenize(parseBody(tokenizeRequest, request.body), { requestId: request.id, signal: clientSignal(reply) }),
  );

  app.post(
    '/detokenize',
    { schema: { tags, summary: 'Token ids → text', body: detokenizeRequest } },
    async (request, reply) =>
      tokens.detokenize(parseBody(detokenizeRequest, request.body), {
        requestId: request.id,
        signal: clientSignal(reply),
      }),
  );
};
