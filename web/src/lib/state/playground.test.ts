import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ChatEvent } from '#lib/api/chat-stream.ts';
import type { ChatRequest } from '#lib/api/types.ts';
import { Answer } from './answer.svelte.ts';
import { Playground } from './playground.svelte.ts';

const sea = { index: 12, label: 'the sea', max_activation: 40 };
const food = { index: 29, label: 'food', max_activation: 20 };

function play(model: string | null = 'm') {
  const asked: ChatRequest[] = [];
  const stream = async function* (body: ChatRequest): AsyncGenerator<ChatEvent> {
    asked.push(body);
    yield { type: 'text', text: body.steering?.features ? 'steered' : 'plain' };
    yield { type: 'finish', reason: 'stop' };
  };
  const playground = new Playground(
    () => model,
    () => new Answer(stream, (flush) => flush()),
  );
  playground.saeId = 'demo';
  return { playground, asked };
}

async function send(playground: Playground, text = 'Hello') {
  playground.draft = text;
  playground.send();
  await vi.advanceTimersByTimeAsync(0);
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('the playground', () => {
  it('asks both sides the same but for the steering, and reads the prompt once', async () => {
    const { playground, asked } = play();
    playground.add(sea);
    playground.add(food);
    playground.list.setOperation(1, 'ablate');
    playground.setIntensity(1.5);
    await send(playground);
    const [plain, steered] = asked;
    expect(plain?.steering).toEqual({ enabled: false });
    expect(steered?.steering).toEqual({
      sae_id: 'demo',
      intensity: 1.5,
      features: [
        { index: 12, op: 'add', strength: 30 },
        { index: 29, op: 'ablate' },
      ],
    });
    expect(plain?.activations).toEqual({ sae_id: 'demo', top_k: 5, features: [12, 29], prompt: true });
    expect(steered?.activations).toEqual({ sae_id: 'demo', top_k: 5, features: [12, 29] });
    const common = ({ steering: _s, activations: _a, ...rest }: ChatRequest) => rest;
    expect(plain && common(plain)).toEqual(steered && common(steered));
    expect(plain).toMatchObject({ temperature: 0, max_tokens: 160, logprobs: true, top_logprobs: 5 });
  });

  it('samples as it was told: a seed of its own for each question, or the one that was typed', async () => {
    const { playground, asked } = play();
    playground.temperature = 0.7;
    playground.topP = 0.9;
    playground.maxTokens = 20;
    await send(playground);
    expect(asked[0]).toMatchObject({ temperature: 0.7, top_p: 0.9, max_tokens: 20 });
    expect(asked[0]?.seed).toBe(playground.turns[0]?.seed);
    playground.seed = 7;
    await send(playground);
    expect(asked.at(-1)?.seed).toBe(7);
  });

  it('steers the last answer when a feature joins, and again when a slider rests', async () => {
    const { playground, asked } = play();
    await send(playground);
    expect(asked).toHaveLength(1);
    playground.add(sea);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked).toHaveLength(2);
    for (const to of [31, 35, 44]) playground.list.setNumber(0, 'strength', to);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked.slice(2).map(({ steering }) => steering?.features?.[0]?.strength)).toEqual([44]);
    playground.list.remove(0);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked).toHaveLength(3);
  });

  it('sends conditions and scopes as they stand, and names the SAE of a feature that is of another', async () => {
    const { playground, asked } = play();
    playground.add(sea);
    playground.list.setCondition(0, { index: 3, above: 1.5, mode: 'latched' });
    playground.list.setScope(0, { phase: 'generated' });
    playground.saeId = 'other';
    await send(playground);
    expect(asked.at(-1)?.steering).toEqual({
      sae_id: 'other',
      features: [
        {
          index: 12,
          op: 'add',
          strength: 30,
          sae_id: 'demo',
          when: { index: 3, above: 1.5, mode: 'latched' },
          scope: { phase: 'generated' },
        },
      ],
    });
    expect(asked[0]?.activations).toEqual({ sae_id: 'other', top_k: 5, prompt: true });
    playground.list.setCondition(0, null);
    playground.list.setScope(0, null);
    expect(playground.list.items[0]).not.toHaveProperty('when');
    expect(playground.list.items[0]).not.toHaveProperty('scope');
  });

  it('tints by the first that steers until another is chosen, and says when that was not read', async () => {
    const { playground } = play();
    expect(playground.heat).toBeNull();
    playground.learn('demo', sea);
    playground.add(sea);
    expect(playground.heat).toEqual({ ...sea, sae_id: 'demo' });
    await send(playground);
    expect(playground.isHeatUnread).toBe(false);
    playground.showHeat(food);
    expect(playground.isHeatUnread).toBe(true);
    const [turn] = playground.turns;
    if (turn) playground.retry(turn);
    await vi.advanceTimersByTimeAsync(0);
    expect(playground.isHeatUnread).toBe(false);
    playground.saeId = 'other'; // the tokens are still those that demo read
    expect(playground.isHeatUnread).toBe(true);
    playground.add({ ...food, sae_id: 'demo' });
    expect(playground.list.items.map(({ index, sae_id }) => [index, sae_id])).toEqual([
      [12, 'demo'],
      [29, 'demo'],
    ]);
  });

  it('becomes a profile, and opens one', () => {
    const { playground } = play();
    playground.learn('demo', sea);
    playground.add({ index: 12, label: null });
    playground.setIntensity(0.5);
    const profile = playground.toProfile(' calm ', '');
    expect(profile).toMatchObject({ name: 'calm', description: null, sae_id: 'demo', intensity: 0.5 });
    expect(profile.features).toEqual([expect.objectContaining({ index: 12, label: 'the sea', sae_id: 'demo' })]);
  });

  it('comes back from what was kept and goes on from there', async () => {
    const { playground, asked } = play();
    playground.add(sea);
    await send(playground, 'One');
    const kept = playground.toSaved();
    const later = play();
    later.playground.restore(kept);
    expect(later.playground.toSaved()).toEqual(kept);
    await send(later.playground, 'Two');
    expect(later.asked[0]?.messages.map(({ content }) => content)).toEqual(['One', 'plain', 'Two']);
    expect(asked).toHaveLength(2);
  });
});

describe('an answer with log-probabilities', () => {
  const logprob = (token: string) => ({ token, logprob: -0.5, top_logprobs: [{ token, logprob: -0.5 }] });
  const entry = (position: number, token: string) => ({ position, token_id: 1, token, sae_id: 'demo', features: [] });
  const run = async (events: ChatEvent[], request: Partial<ChatRequest>) => {
    const stream = async function* () {
      for (const event of events) yield await Promise.resolve(event);
    };
    const answer = new Answer(stream, (flush) => flush());
    await answer.run({ model: 'm', messages: [], ...request });
    return answer;
  };

  it('lays them on the tokens that the activations tell apart, and keeps the prompt apart', async () => {
    const answer = await run(
      [
        { type: 'activations', entries: [entry(0, 'User:'), entry(1, ' hi')] },
        { type: 'text', text: 'The' },
        { type: 'logprobs', tokens: [logprob('The')] },
        { type: 'text', text: ' sea' },
        { type: 'activations', entries: [entry(2, 'The')] },
        { type: 'logprobs', tokens: [logprob(' sea')] },
        { type: 'activations', entries: [entry(3, ' sea')] },
      ],
      { activations: { sae_id: 'demo', prompt: true } },
    );
    expect(answer.prompt.map(({ text }) => text)).toEqual(['User:', ' hi']);
    expect(answer.segments.map(({ text, logprob: of }) => [text, of?.token])).toEqual([
      ['The', 'The'],
      [' sea', ' sea'],
    ]);
  });

  it('tells tokens apart by them alone where no SAE is read', async () => {
    const answer = await run(
      [
        { type: 'text', text: 'The' },
        { type: 'logprobs', tokens: [logprob('The')] },
        { type: 'text', text: ' sea' },
        { type: 'logprobs', tokens: [logprob(' sea')] },
      ],
      {},
    );
    expect(answer.segments.map(({ text, logprob: of }) => [text, of?.token])).toEqual([
      ['The', 'The'],
      [' sea', ' sea'],
    ]);
  });
});
