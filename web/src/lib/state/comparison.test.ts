import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ChatEvent } from '#lib/api/chat-stream.ts';
import { ApiError } from '#lib/api/errors.ts';
import type { ChatRequest } from '#lib/api/types.ts';
import { Answer } from './answer.svelte.ts';
import { Comparison, type Target } from './comparison.svelte.ts';

const sea = { index: 12, label: 'the sea', max_activation: 40 };
const food = { index: 29, label: 'food', max_activation: 20 };

function compare(target: Target | null = { model: 'm', saeId: 'demo' }, failure?: ApiError) {
  const asked: ChatRequest[] = [];
  const stream = async function* (body: ChatRequest): AsyncGenerator<ChatEvent> {
    asked.push(body);
    if (failure) throw failure;
    const strength = body.steering?.features?.[0]?.strength;
    yield { type: 'text', text: strength === undefined ? 'plain' : `steered ${strength}` };
    yield { type: 'finish', reason: 'stop' };
  };
  const comparison = new Comparison(
    () => target,
    () => new Answer(stream, (flush) => flush()),
  );
  return { comparison, asked };
}

async function send(comparison: Comparison, text: string) {
  comparison.draft = text;
  comparison.send();
  await vi.advanceTimersByTimeAsync(0);
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a comparison', () => {
  it('asks both sides the same but for the steering', async () => {
    const { comparison, asked } = compare();
    comparison.choose(sea, 30);
    await send(comparison, ' Hello ');
    const [plain, steered] = asked;
    expect(plain?.steering).toEqual({ enabled: false });
    expect(steered?.steering).toEqual({ sae_id: 'demo', features: [{ index: 12, strength: 30 }] });
    expect({ ...plain, steering: null }).toEqual({ ...steered, steering: null });
    expect(plain).toMatchObject({
      temperature: 0,
      messages: [{ role: 'user', content: 'Hello' }],
      activations: { sae_id: 'demo', top_k: 5, features: [12] },
    });
    expect(comparison.draft).toBe('');
  });

  it('gives both sides one seed when the temperature is above 0', async () => {
    const { comparison, asked } = compare();
    comparison.choose(sea, 30);
    comparison.isDeterministic = false;
    await send(comparison, 'Hello');
    expect(asked[0]?.temperature).toBe(0.8);
    expect(asked[0]?.seed).toBe(asked[1]?.seed);
  });

  it('starts a feature at a strength that suits it', () => {
    const { comparison } = compare();
    comparison.choose(sea);
    expect(comparison.strength).toBe(30);
    comparison.choose(food);
    expect(comparison.strength).toBe(15);
  });

  it('asks the steered side alone again when the slider rests, once', async () => {
    const { comparison, asked } = compare();
    comparison.choose(sea, 30);
    await send(comparison, 'Hello');
    for (const value of [31, 33, 36, 40]) comparison.setStrength(value);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked).toHaveLength(3);
    expect(comparison.turns[0]?.steered.text).toBe('steered 40');
    expect(comparison.turns[0]?.plain.text).toBe('plain');
  });

  it('asks nothing again when the slider comes back to what was asked', async () => {
    const { comparison, asked } = compare();
    comparison.choose(sea, 30);
    await send(comparison, 'Hello');
    comparison.setStrength(40);
    comparison.setStrength(30);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked).toHaveLength(2);
  });

  it('asks nothing again of an answer that failed, when the slider moved before it was asked', async () => {
    const { comparison, asked } = compare(undefined, new ApiError('QUEUE_FULL', 'x', 429));
    comparison.choose(sea, 30);
    await send(comparison, 'Hello');
    await vi.advanceTimersByTimeAsync(1000);
    expect(comparison.turns[0]?.steered.status).toBe('error');
    expect(asked).toHaveLength(2);
  });

  it('continues two conversations, each with its own answers', async () => {
    const { comparison, asked } = compare();
    comparison.choose(sea, 30);
    await send(comparison, 'One');
    await send(comparison, 'Two');
    expect(asked[2]?.messages.map((message) => message.content)).toEqual(['One', 'plain', 'Two']);
    expect(asked[3]?.messages.map((message) => message.content)).toEqual(['One', 'steered 30', 'Two']);
  });

  it('asks only the plain side when no SAE is attached', async () => {
    const { comparison, asked } = compare({ model: 'm', saeId: null });
    await send(comparison, 'Hello');
    expect(asked).toHaveLength(1);
    expect(comparison.turns[0]?.steered.status).toBe('idle');
  });

  it('sends nothing without a model or without words', async () => {
    const { comparison, asked } = compare(null);
    await send(comparison, 'Hello');
    expect(asked).toEqual([]);
    expect(comparison.draft).toBe('Hello');
    const ready = compare();
    await send(ready.comparison, '   ');
    expect(ready.asked).toEqual([]);
  });

  it('retries one side or both', async () => {
    const { comparison, asked } = compare();
    comparison.choose(sea, 30);
    await send(comparison, 'Hello');
    const turn = comparison.turns[0];
    if (!turn) throw new Error('no turn');
    comparison.retry(turn, 'plain');
    comparison.retry(turn);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked.map((request) => request.steering?.enabled ?? true)).toEqual([false, true, false, false, true]);
  });

  it('widens the slider for a strength that a person typed, within the law', () => {
    const { comparison } = compare();
    comparison.choose(sea, 30);
    expect(comparison.range.limit).toBe(60);
    comparison.setStrength(1000);
    expect(comparison.strength).toBe(300);
    expect(comparison.range.limit).toBe(300);
  });

  it('forgets everything on clear', async () => {
    const { comparison } = compare();
    comparison.choose(sea, 30);
    await send(comparison, 'Hello');
    comparison.clear();
    expect(comparison.turns).toEqual([]);
  });
});
