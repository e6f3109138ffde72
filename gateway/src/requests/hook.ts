// Turns an answered /v1 request into a line of the log: what was asked for and what it cost, never its text.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { RequestRecorder } from './recorder.ts';

/** What a handler knows of its generation; it may leave it on the request for the log. */
export interface RequestAccount {
  promptTokens?: number;
  completionTokens?: number;
  cachedTokens?: number;
  finishReason?: string;
  errorCode?: string;
  ttftMs?: number;
}

declare module 'fastify' {
  interface FastifyRequest {
    account: RequestAccount | null;
  }
}

const logged: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'chat.completions',
  '/v1/completions': 'completions',
  '/v1/embeddings': 'embeddings',
};

export function logRequests(app: FastifyInstance, isEnabled: () => Promise<boolean>, recorder: RequestRecorder): void {
  app.decorateRequest('account', null);
  app.addHook('onResponse', async (request, reply) => {
    const endpoint = logged[request.url.split('?')[0] ?? ''];
    if (endpoint === undefined || request.method !== 'POST' || !(await isEnabled())) return;
    const body = (request.body ?? {}) as { model?: unknown; stream?: unknown };
    const steering = reply.getHeader('x-millm-steering');
    const account = request.account ?? {};
    recorder.record({
      id: request.id,
      at: new Date(),
      endpoint,
      modelName: typeof body.model === 'string' ? body.model.slice(0, 200) : '',
      stream: body.stream === true,
      status: reply.statusCode,
      errorCode: account.errorCode ?? null,
      finishReason: account.finishReason ?? null,
      promptTokens: account.promptTokens ?? 0,
      completionTokens: account.completionTokens ?? 0,
      cachedTokens: account.cachedTokens ?? 0,
      ttftMs: account.ttftMs ?? null,
      durationMs: reply.elapsedTime,
      steering: typeof steering === 'string' ? steering : 'none',
      keyId: keyOf(request),
    });
  });
}

const keyOf = (request: FastifyRequest) => {
  const id = (request as { keyId?: unknown }).keyId;
  return typeof id === 'string' ? id : null;
};
