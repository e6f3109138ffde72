import { describe, expect, it, vi } from 'vitest';
import { streamChat, type ChatEvent } from './chat-stream.ts';
import type { Fetch } from './client.ts';
import type { ChatRequest } from './types.ts';

const request: ChatRequest = { model: 'm', messages: [{ role: 'user', content: 'hi' }] };

const entry = { position: 3, token_id: 9, token: ' sea', sae_id: 'demo', features: [{ index: 1, value: 2 }] };
const frames = [
  { choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] },
  { choices: [{ index: 0, delta: { content: 'The sea 🌊' }, finish_reason: null }] },
  { choices: [{ index: 0, delta: {}, finish_reason: null, millm: { activations: [entry] } }] },
  { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
  { choices: [], usage: { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5 } },
];
const text = `: ping\n\n${frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join('')}data: [DONE]\n\n`;

function answering(body: string, { cut = body.length, status = 200, headers = {} } = {}): Fetch {
  const bytes = new TextEncoder().encode(body);
  return vi.fn<Fetch>(async () => {
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += cut) controller.enqueue(bytes.slice(at, at + cut));
        controller.close();
      },
    });
    return new Response(stream, { status, headers });
  });
}

async function collect(fetch: Fetch, signal?: AbortSignal): Promise<ChatEvent[]> {
  const events: ChatEvent[] = [];
  for await (const event of streamChat(request, { fetch, ...(signal && { signal }) })) events.push(event);
  return events;
}

describe('streaming a chat', () => {
  it('gives text, activations, finish and usage in order', async () => {
    const events = await collect(answering(text, { headers: { 'x-millm-steering': 'abc' } }));
    expect(events).toEqual([
      { type: 'accepted', steering: 'abc', requestId: null },
      { type: 'text', text: 'The sea 🌊' },
      { type: 'activations', entries: [entry] },
      { type: 'finish', reason: 'stop' },
      { type: 'usage', usage: { prompt_tokens: 1, completion_tokens: 4, total_tokens: 5 } },
    ]);
  });

  it('gives the same events for any cut of the bytes, even inside a character', async () => {
    const whole = await collect(answering(text));
    for (const cut of [1, 2, 3, 5, 17, 64]) expect(await collect(answering(text, { cut }))).toEqual(whole);
  });

  it('asks for a stream with usage', async () => {
    const fetch = answering(text);
    await collect(fetch);
    const [, init] = vi.mocked(fetch).mock.calls[0] ?? [];
    expect(JSON.parse(String(init?.body))).toEqual({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  it('throws the code of an error that came before the stream', async () => {
    const body = JSON.stringify({ error: { message: 'Full.', type: 'x', param: null, code: 'queue_full' } });
    const failing = answering(body, { status: 429, headers: { 'retry-after': '5' } });
    await expect(collect(failing)).rejects.toMatchObject({ code: 'QUEUE_FULL', status: 429, retryAfterS: 5 });
  });

  it('throws the code of an error inside the stream', async () => {
    const body = `data: ${JSON.stringify({ error: { message: 'Boom.', code: 'engine_error' } })}\n\ndata: [DONE]\n\n`;
    await expect(collect(answering(body))).rejects.toMatchObject({ code: 'ENGINE_ERROR' });
  });

  it('throws when the stream ends before the answer does', async () => {
    const body = `data: ${JSON.stringify(frames[1])}\n\n`;
    await expect(collect(answering(body))).rejects.toMatchObject({ code: 'STREAM_INTERRUPTED' });
  });

  it('throws when the connection breaks in the middle', async () => {
    const broken = vi.fn<Fetch>(
      async () =>
        new Response(
          new ReadableStream({
            pull(controller) {
              controller.error(new TypeError('network error'));
            },
          }),
        ),
    );
    await expect(collect(broken)).rejects.toMatchObject({ code: 'STREAM_INTERRUPTED' });
  });

  it('throws when a piece is not JSON', async () => {
    await expect(collect(answering('data: {oops\n\n'))).rejects.toMatchObject({ code: 'BAD_RESPONSE' });
  });

  it('throws NETWORK_ERROR when the server is not there', async () => {
    const failing = vi.fn<Fetch>(() => Promise.reject(new TypeError('Failed to fetch')));
    await expect(collect(failing)).rejects.toMatchObject({ code: 'NETWORK_ERROR', status: 0 });
  });

  it('lets an abort of the caller through as an abort', async () => {
    const abort = new AbortController();
    abort.abort();
    const fetch = vi.fn<Fetch>((_url, init) => Promise.reject(init?.signal?.reason as Error));
    await expect(collect(fetch, abort.signal)).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('cancels the body when its reader leaves early', async () => {
    const cancel = vi.fn();
    const endless = vi.fn<Fetch>(
      async () =>
        new Response(
          new ReadableStream({
            pull(controller) {
              controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(frames[1])}\n\n`));
            },
            cancel,
          }),
        ),
    );
    for await (const event of streamChat(request, { fetch: endless })) if (event.type === 'text') break;
    expect(cancel).toHaveBeenCalledOnce();
  });
});
