/**
 * A streamed chat completion as typed events. The generator ends normally only after the server said that the answer
 * is whole; everything else is an ApiError (or the caller's own AbortError).
 */
import { errorFromBody, isRecord, readJson, type Fetch } from './client.ts';
import { authorization } from './credentials.ts';
import { ApiError, asApiError, isAbort } from './errors.ts';
import { createSseParser } from './sse.ts';
import type { ActivationEntry, ChatRequest, TokenLogprob, Usage } from './types.ts';

export type ChatEvent =
  | { type: 'accepted'; steering: string | null; requestId: string | null }
  | { type: 'text'; text: string }
  | { type: 'activations'; entries: ActivationEntry[] }
  | { type: 'logprobs'; tokens: TokenLogprob[] }
  | { type: 'finish'; reason: string }
  | { type: 'usage'; usage: Usage };

export interface ChatStreamOptions {
  signal?: AbortSignal;
  fetch?: Fetch;
}

export async function* streamChat(
  body: ChatRequest,
  { signal, fetch = globalThis.fetch }: ChatStreamOptions = {},
): AsyncGenerator<ChatEvent, void, undefined> {
  const response = await open(body, fetch, signal);
  yield {
    type: 'accepted',
    steering: response.headers.get('x-millm-steering'),
    requestId: response.headers.get('x-request-id'),
  };
  let isWhole = false;
  for await (const data of sseData(response)) {
    if (data === '[DONE]') return;
    for (const event of toEvents(data)) {
      if (event.type === 'finish') isWhole = true;
      yield event;
    }
  }
  if (!isWhole) throw new ApiError('STREAM_INTERRUPTED', 'The stream ended before the answer did.');
}

async function open(body: ChatRequest, fetch: Fetch, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch('/v1/chat/completions', {
      method: 'POST',
      headers: { ...authorization(), 'content-type': 'application/json', accept: 'text/event-stream' },
      body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
      signal: signal ?? null,
    });
  } catch (thrown) {
    if (isAbort(thrown)) throw thrown;
    throw asApiError(thrown);
  }
  if (!response.ok) throw errorFromBody(response, await readJson(response));
  if (!response.body) throw new ApiError('BAD_RESPONSE', 'The answer has no body.', response.status);
  return response;
}

async function* sseData(response: Response): AsyncGenerator<string, void, undefined> {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder(); // stream: true keeps a character that two chunks share
  const parser = createSseParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
    yield* parser.push(decoder.decode());
    yield* parser.end();
  } catch (thrown) {
    if (isAbort(thrown) || thrown instanceof ApiError) throw thrown;
    throw new ApiError('STREAM_INTERRUPTED', 'The connection was lost while the answer was streaming.');
  } finally {
    // Left early (stop, error): tell the server that nobody reads any more.
    await reader.cancel().catch(() => undefined);
  }
}

function toEvents(data: string): ChatEvent[] {
  const chunk = parseChunk(data);
  if (isRecord(chunk.error)) {
    const { code, message } = chunk.error;
    throw new ApiError(
      typeof code === 'string' ? code.toUpperCase() : 'ENGINE_ERROR',
      typeof message === 'string' ? message : 'The answer failed.',
    );
  }
  const events: ChatEvent[] = [];
  const choice: unknown = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
  if (isRecord(choice)) {
    const text = isRecord(choice.delta) ? choice.delta.content : undefined;
    if (typeof text === 'string' && text) events.push({ type: 'text', text });
    const entries = isRecord(choice.millm) ? choice.millm.activations : undefined;
    if (Array.isArray(entries) && entries.length > 0) {
      events.push({ type: 'activations', entries: entries as ActivationEntry[] });
    }
    const logprobs = isRecord(choice.logprobs) ? choice.logprobs.content : undefined;
    if (Array.isArray(logprobs) && logprobs.length > 0) {
      events.push({ type: 'logprobs', tokens: logprobs as TokenLogprob[] });
    }
    if (typeof choice.finish_reason === 'string') {
      events.push({ type: 'finish', reason: choice.finish_reason });
    }
  }
  if (isRecord(chunk.usage)) events.push({ type: 'usage', usage: chunk.usage as unknown as Usage });
  return events;
}

function parseChunk(data: string): Record<string, unknown> {
  try {
    const chunk: unknown = JSON.parse(data);
    if (isRecord(chunk)) return chunk;
  } catch {
    // told below
  }
  throw new ApiError('BAD_RESPONSE', 'A piece of the stream is not a JSON object.');
}
