// Turns an answered /v1 request into a line of the log: what was asked for and what it cost, never its text.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { onAnswered } from '../plugins/request-context.ts';
import type { RequestAccount } from './meter.ts';
import type { RequestRecorder } from './recorder.ts';

const logged: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'chat.completions',
  '/v1/completions': 'completions',
  '/v1/embeddings': 'embeddings',
  '/v1/responses': 'responses',
};

export interface RequestLogOptions {
  isEnabled: () => Promise<boolean>;
  recorder: RequestRecorder;
  /** What the request's generations cost. */
  take: (requestId: string) => RequestAccount | null;
  /** A request that cost something was answered. */
  onAccount: (account: RequestAccount, elapsedMs: number) => void;
}

export function logRequests(app: FastifyInstance, { isEnabled, recorder, take, onAccount }: RequestLogOptions): void {
  async function note(request: FastifyRequest, reply: FastifyReply, status: number): Promise<void> {
    const account = take(request.id);
    if (account !== null) onAccount(account, reply.elapsedTime);
    const endpoint = logged[request.url.split('?')[0] ?? ''];
    if (endpoint === undefined || request.method !== 'POST' || !(await isEnabled())) return;
    const body = (request.body ?? {}) as { model?: unknown; stream?: unknown };
    const steering = reply.getHeader('x-millm-steering');
    recorder.record({
      id: request.id,
      at: new Date(),
      endpoint,
      modelName: typeof body.model === 'string' ? body.model.slice(0, 200) : '',
      stream: body.stream === true,
      status,
      errorCode: account?.errorCode ?? null,
      finishReason: account?.finishReason ?? null,
      promptTokens: account?.promptTokens ?? 0,
      completionTokens: account?.completionTokens ?? 0,
      cachedTokens: account?.cachedTokens ?? 0,
      ttftMs: account?.ttftMs ?? null,
      durationMs: reply.elapsedTime,
      steering: typeof steering === 'string' ? steering : 'none',
      keyId: request.keyId,
    });
  }
  onAnswered(app, (request, reply, status) => {
    note(request, reply, status).catch((error: unknown) => {
      request.log.warn({ event: 'request-log:lost', err: error }, 'a request could not be noted');
    });
  });
}
