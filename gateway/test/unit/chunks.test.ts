import { describe, expect, it } from 'vitest';
import type { OutputEvent } from '../../src/inference/contract.ts';
import { chatChunks, foldChat } from '../../src/openai/chunks.ts';
import type { ChatChunk, ChatPlan } from '../../src/openai/chunks.ts';
import { plainOutput } from '../../src/openai/output.ts';

const plan: ChatPlan = {
  id: 'chatcmpl-1',
  created: 1,
  model: 'm',
  systemFingerprint: 'fp_1',
  n: 1,
  newParser: plainOutput,
  label: (entries) => entries.map((entry) => ({ ...entry, features: [] })),
  topLogprobs: null,
  steering: 'none',
};
const token = (text: string, extra = {}) => ({
  token_id: 1,
  token: text,
  bytes: [...Buffer.from(text)],
  logprob: -0.5,
  top: [{ token_id: 1, token: text, bytes: [...Buffer.from(text)], logprob: -0.5 }],
  special: false,
  ...extra,
});
const delta = (text: string, extra = {}): OutputEvent => ({
  type: 'delta',
  index: 0,
  text,
  token_ids: [1],
  logprobs: [],
  activations: [],
  ...extra,
});
const finish = (extra = {}): OutputEvent => ({
  type: 'finish',
  index: 0,
  finish_reason: 'stop',
  stop_reason: null,
  text: '',
  token_ids: [],
  logprobs: [],
  activations: [],
  completion_tokens: 2,
  ...extra,
});
const done: OutputEvent = {
  type: 'done',
  prompt_tokens: 3,
  completion_tokens: 2,
  cached_tokens: 1,
  steered_positions: 0,
  timings: { queue_s: 0, prefill_s: 0, decode_s: 0 },
};

async function* from<T>(items: T[]): AsyncGenerator<T> {
  yield* items;
}
async function all(events: OutputEvent[], changes: Partial<ChatPlan> = {}): Promise<ChatChunk[]> {
  const out: ChatChunk[] = [];
  for await (const chunk of chatChunks({ ...plan, ...changes }, from(events))) out.push(chunk);
  return out;
}

describe('chatChunks', () => {
  it('says the role once, then text, then one finish reason, then usage without choices', async () => {
    const chunks = await all([delta('Hel'), delta('lo'), finish(), done]);
    expect(chunks.map((chunk) => chunk.choices[0]?.delta)).toEqual([
      { role: 'assistant', content: '' },
      { content: 'Hel' },
      { content: 'lo' },
      {},
      undefined,
    ]);
    expect(chunks.map((chunk) => chunk.choices[0]?.finish_reason)).toEqual([null, null, null, 'stop', undefined]);
    expect(chunks.at(-1)?.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 });
  });

  it('announces every choice before any text, index 0 first', async () => {
    const chunks = await all([delta('b', { index: 1 }), delta('a'), finish({ index: 1 }), finish(), done], { n: 2 });
    expect(chunks.slice(0, 2).map((chunk) => chunk.choices[0]?.index)).toEqual([0, 1]);
  });

  it('sends nothing for text that is held back', async () => {
    expect(await all([delta(''), delta('x'), finish(), done])).toHaveLength(4);
  });

  it('releases the held-back rest before the finish reason', async () => {
    const chunks = await all([delta('a'), finish({ text: 'b' }), done]);
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content)).toEqual(['', 'a', 'b', undefined, undefined]);
  });

  it('carries log-probabilities with their text, without the end of sequence, and finite', async () => {
    const events = [
      delta('', { logprobs: [token('a')] }),
      delta('ab', { logprobs: [token('b', { logprob: Number.NEGATIVE_INFINITY })] }),
      finish({ logprobs: [token('<eos>', { special: true })] }),
      done,
    ];
    const chunks = await all(events, { topLogprobs: 1 });
    const entries = chunks.flatMap((chunk) => chunk.choices[0]?.logprobs?.content ?? []);
    expect(entries.map(({ token: text, logprob }) => [text, logprob])).toEqual([
      ['a', -0.5],
      ['b', -9999],
    ]);
    expect(entries[0]?.top_logprobs).toHaveLength(1);
  });

  it('keeps activations of prompt, text and finish', async () => {
    const entry = (position: number) => ({ position, token_id: 1, token: 'x', sae_id: 'demo', features: [] });
    const events: OutputEvent[] = [
      { type: 'prompt', text: 'p', tokens: [], activations: [entry(0)] },
      delta('a'),
      delta('b', { activations: [entry(1)] }),
      finish({ activations: [entry(2)] }),
      done,
    ];
    const whole = await foldChat(chatChunks(plan, from(events)));
    expect(whole.choices[0]?.millm?.activations.map(({ position }) => position)).toEqual([0, 1, 2]);
    expect(whole.choices[0]?.message).toEqual({ role: 'assistant', content: 'ab', refusal: null });
  });

  it('folds to choices in order, with every key the API requires', async () => {
    const events = [
      delta('b', { index: 1 }),
      delta('a'),
      finish({ index: 1 }),
      finish({ finish_reason: 'length' }),
      done,
    ];
    const whole = await foldChat(chatChunks({ ...plan, n: 2 }, from(events)));
    expect(whole.choices.map((choice) => choice.message.content)).toEqual(['a', 'b']);
    expect(whole.choices[0]).toEqual({
      index: 0,
      message: { role: 'assistant', content: 'a', refusal: null },
      logprobs: null,
      finish_reason: 'length',
    });
  });
});
