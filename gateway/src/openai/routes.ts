import type { FastifyPluginAsync } from 'fastify';
import { clientSignal } from '../inference/client-signal.ts';
import type { ModelService } from '../models/service.ts';
import { foldChat } from './chunks.ts';
import type { ChatService } from './chat.ts';
import { modelList, modelObject } from './models.ts';
import { reportUnknownFields, sendStream, steeringHeaders } from './reply.ts';
import { chatRequest } from './schemas.ts';
import { parseBody } from './validate.ts';

export interface OpenAiOptions {
  models: ModelService;
  chat: ChatService;
  keepaliveMs: number;
  isStrict: boolean;
}

export const openAiRoutes: FastifyPluginAsync<OpenAiOptions> = async (app, options) => {
  const { models, chat, keepaliveMs, isStrict } = options;

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
      steeringHeaders(reply, started);
      return body.stream === true ? sendStream(request, reply, started, keepaliveMs) : foldChat(started.chunks);
    },
  );
};
