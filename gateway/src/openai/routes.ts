import type { FastifyPluginAsync } from 'fastify';
import { clientSignal } from '../inference/client-signal.ts';
import type { ModelService } from '../models/service.ts';
import { foldChat } from './chunks.ts';
import type { ChatService } from './chat.ts';
import { modelList, modelObject } from './models.ts';
import { foldCompletion } from './completion-chunks.ts';
import type { CompletionService } from './completions.ts';
import type { EmbeddingService } from './embeddings.ts';
import { extensionHeaders, reportUnknownFields, sendStream } from './reply.ts';
import { chatRequest, completionRequest, embeddingRequest } from './schemas.ts';
import { parseBody } from './validate.ts';

export interface OpenAiOptions {
  models: ModelService;
  chat: ChatService;
  completions: CompletionService;
  embeddings: EmbeddingService;
  keepaliveMs: number;
  isStrict: boolean;
}

export const openAiRoutes: FastifyPluginAsync<OpenAiOptions> = async (app, options) => {
  const { models, chat, completions, embeddings, keepaliveMs, isStrict } = options;

  app.get('/models', { schema: { tags: ['openai'], summary: 'The models that requests can name' } }, async () =>
    modelList(await models.list()),
  );

  app.get<{ Params: { '*': string } }>(
    '/models/*',
    { schema: { tags: ['openai'], summary: 'One model; its id may hold slashes' } },
    async (request) => modelObject(models.view(await models.resolve(request.params['*']))),
  );

  app.post(
    '/chat/completions',
    { schema: { tags: ['openai'], summary: 'Answer a conversation', body: chatRequest } },
    async (request, reply) => {
      const body = parseBody(chatRequest, request.body);
      reportUnknownFields(chatRequest, request, reply, isStrict);
      const started = await chat.start(body, { requestId: request.id, signal: clientSignal(reply) });
      extensionHeaders(reply, started);
      return body.stream === true ? sendStream(request, reply, started, keepaliveMs) : foldChat(started.chunks);
    },
  );

  app.post(
    '/completions',
    { schema: { tags: ['openai'], summary: 'Continue a text', body: completionRequest } },
    async (request, reply) => {
      const body = parseBody(completionRequest, request.body);
      reportUnknownFields(completionRequest, request, reply, isStrict);
      const started = await completions.start(body, { requestId: request.id, signal: clientSignal(reply) });
      extensionHeaders(reply, started);
      return body.stream === true ? sendStream(request, reply, started, keepaliveMs) : foldCompletion(started.chunks);
    },
  );

  app.post(
    '/embeddings',
    { schema: { tags: ['openai'], summary: 'Texts → vectors', body: embeddingRequest } },
    async (request, reply) => {
      const body = parseBody(embeddingRequest, request.body);
      reportUnknownFields(embeddingRequest, request, reply, isStrict);
      return embeddings.embed(body, { requestId: request.id, signal: clientSignal(reply) });
    },
  );
};
