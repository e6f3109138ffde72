import { describe, expect, it } from 'vitest';
import type { ChatEvent } from '#lib/api/chat-stream.ts';
import { ApiError } from '#lib/api/errors.ts';
import type { ChatRequest } from '#lib/api/types.ts';
import { Answer, type ChatStream } from './answer.svelte.ts';

const request: ChatRequest = { model: 'm', messages: [] };
const entry = { position: 1, token_id: 1, token: 'Hello', sae_id: 'demo', features: [] };
const immediately = (flush: () => void) => flush();

function playing(events: (ChatEvent | Error)[]): ChatStream {
  return async function* () {
    for (const event of events) {
      if (event instanceof Error) throw event;
      yield await Promise.resolve(event);
    }
  };
}

/** A stream that the test feeds, and that ends with an AbortError when its signal does. */
function fed() {
  const signals: AbortSignal[] = [];
  let push: (event: ChatEvent) => void = () => undefined;
  const stream: ChatStream = async function* (_body, { signal }) {
    if (signal) signals.push(signal);
    for (;;) {
      yield await new Promise<ChatEvent>((resolve, reject) => {
        push = resolve;
        signal?.addEventListener('abort', () => reject(signal.reason as Error));
      });
    }
  };
  return { stream, signals, push: (event: ChatEvent) => push(event) };
}

const settle = () => new Promise((resolve) => setTimeout(resolve));

describe('an answer', () => {
  it('streams to its end and counts what the server counted', async () => {
    const answer = new Answer(
      playing([
        { type: 'accepted', steering: null, requestId: null },
        { type: 'text', text: 'Hello' },
        { type: 'text', text: ' there' },
        { type: 'activations', entries: [entry] },
        { type: 'finish', reason: 'length' },
        { type: 'usage', usage: { prompt_tokens: 1, completion_tokens: 7, total_tokens: 8 } },
      ]),
      immediately,
    );
    await answer.run(request);
    expect(answer).toMatchObject({ status: 'done', text: 'Hello there', tokens: 7, finishReason: 'length' });
    expect(answer.segments.map((segment) => segment.entry?.position)).toEqual([1]);
    expect(answer.tail).toBe(' there');
  });

  it('draws once per frame however many events arrive', async () => {
    const frames: (() => void)[] = [];
    const texts = Array.from({ length: 50 }, (): ChatEvent => ({ type: 'text', text: 'a' }));
    const answer = new Answer(playing(texts), (flush) => frames.push(flush));
    await answer.run(request);
    expect(frames).toHaveLength(1);
    expect(answer.text).toHaveLength(50);
  });

  it('keeps the old text until the new one begins', async () => {
    const { stream, push } = fed();
    const answer = new Answer(stream, immediately);
    void answer.run(request);
    await settle();
    push({ type: 'text', text: 'old' });
    await settle();
    void answer.run(request);
    await settle();
    expect(answer).toMatchObject({ status: 'waiting', text: 'old' });
    push({ type: 'text', text: 'new' });
    await settle();
    expect(answer).toMatchObject({ status: 'streaming', text: 'new' });
  });

  it('stops by aborting its request and keeps what it has', async () => {
    const { stream, signals, push } = fed();
    const answer = new Answer(stream, immediately);
    const run = answer.run(request);
    await settle();
    push({ type: 'text', text: 'half' });
    await settle();
    answer.stop();
    await run;
    expect(signals[0]?.aborted).toBe(true);
    expect(answer).toMatchObject({ status: 'stopped', text: 'half', error: null });
  });

  it('ends in an error that keeps its code and the text so far', async () => {
    const answer = new Answer(
      playing([{ type: 'text', text: 'half' }, new ApiError('ENGINE_ERROR', 'x')]),
      immediately,
    );
    await answer.run(request);
    expect(answer).toMatchObject({ status: 'error', text: 'half' });
    expect(answer.error?.code).toBe('ENGINE_ERROR');
  });

  it('is not disturbed by the end of a run that a newer one replaced', async () => {
    const { stream, signals, push } = fed();
    const answer = new Answer(stream, immediately);
    const first = answer.run(request);
    await settle();
    void answer.run(request);
    await first;
    await settle();
    expect(signals[0]?.aborted).toBe(true);
    expect(signals[1]?.aborted).toBe(false);
    push({ type: 'text', text: 'second' });
    await settle();
    expect(answer).toMatchObject({ status: 'streaming', text: 'second' });
  });
});
