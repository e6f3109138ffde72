// Text completions: echo, scores, several prompts and choices; plain answers, streamed ones and errors.
import { describe, expect, it } from 'vitest';
import { modelName, readFrames, startStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { encode } from '../fake/tokenizer.ts';
import { text } from '../openai-asks.ts';

const db = useDatabase();
interface Watched {
  choices: { millm: { activations: { features: unknown[] }[] } }[];
}

describe('completions', () => {
  it('answers in its own shape, sixteen tokens unless told otherwise', async () => {
    const { openai, fake } = await startStack(db.database);
    const answer = await openai.completions.create(text);
    expect(answer).toMatchObject({ object: 'text_completion', model: modelName });
    expect(answer.id).toMatch(/^cmpl-/);
    expect(answer.choices).toEqual([
      { index: 0, text: 'Hello! You said 16 characters.', logprobs: null, finish_reason: 'stop' },
    ]);
    expect(fake.requests.at(-1)).toMatchObject({
      prompt: { type: 'text', text: text.prompt, add_special_tokens: true },
      sampling: { max_tokens: 16, logprobs: null },
    });
  });

  it('streams the same, with usage when asked', async () => {
    const { openai, v1 } = await startStack(db.database);
    const whole = await openai.completions.create(text);
    let streamed = '';
    for await (const chunk of await openai.completions.create({ ...text, stream: true })) {
      expect(chunk.object).toBe('text_completion');
      streamed += chunk.choices[0]?.text ?? '';
    }
    expect(streamed).toBe(whole.choices[0]?.text);
    const ask = { ...text, stream: true, stream_options: { include_usage: true } };
    const frames = await readFrames(await v1('/completions', ask));
    expect(JSON.parse(frames.at(-2) ?? '')).toMatchObject({ choices: [], usage: { prompt_tokens: 4 } });
  });

  it('numbers prompts × choices, and counts each prompt once', async () => {
    const { openai } = await startStack(db.database);
    const answer = await openai.completions.create({ ...text, prompt: ['a', 'bb cc', 'ddd'], n: 2 });
    expect(answer.choices.map(({ index, text: said }) => [index, said])).toEqual([
      [0, 'Hello! You said 1 characters.'],
      [1, 'Hello! You said 1 characters. (choice 1)'],
      [2, 'Hello! You said 5 characters.'],
      [3, 'Hello! You said 5 characters. (choice 1)'],
      [4, 'Hello! You said 3 characters.'],
      [5, 'Hello! You said 3 characters. (choice 1)'],
    ]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 4, total_tokens: 4 + (answer.usage?.completion_tokens ?? 0) });
    const indices = new Set<number>();
    for await (const chunk of await openai.completions.create({ ...text, prompt: ['a', 'b'], n: 2, stream: true })) {
      expect(chunk.choices).toHaveLength(1);
      indices.add(chunk.choices[0]?.index ?? -1);
    }
    expect([...indices].sort()).toEqual([0, 1, 2, 3]);
  });

  it('answers more prompts than the sidecar should see at once', async () => {
    const { openai, fake } = await startStack(db.database);
    let most = 0;
    fake.onBody = () => (most = Math.max(most, fake.running + 1));
    const prompt = Array.from({ length: 40 }, (_, index) => 'x'.repeat(index + 1));
    const answer = await openai.completions.create({ ...text, prompt });
    expect(answer.choices.map((choice) => choice.text)).toEqual(
      prompt.map((one) => `Hello! You said ${one.length} characters.`),
    );
    expect(most).toBeLessThanOrEqual(8);
  });

  it('echoes the prompt with its log-probabilities, the way evaluation harnesses read them', async () => {
    const { openai } = await startStack(db.database);
    const ids = encode('Once upon a');
    const ask = { model: modelName, prompt: [ids], max_tokens: 1, logprobs: 1, echo: true, temperature: 0, seed: 1234 };
    const { choices } = await openai.completions.create(ask);
    const logprobs = choices[0]?.logprobs;
    expect(choices[0]?.text).toBe('Once upon aHello');
    expect(logprobs?.tokens).toEqual(['Once', ' upon', ' a', 'Hello']);
    expect(logprobs?.token_logprobs?.[0]).toBeNull();
    expect(logprobs?.top_logprobs?.[0]).toBeNull();
    expect(logprobs?.text_offset).toEqual([0, 4, 9, 11]);
    for (const position of [1, 2, 3]) {
      const best = Math.max(...Object.values(logprobs?.top_logprobs?.[position] ?? {}));
      expect(logprobs?.token_logprobs?.[position]).toBe(best);
    }
  });

  it('scores a prompt without generating', async () => {
    const { openai } = await startStack(db.database);
    const answer = await openai.completions.create({ ...text, max_tokens: 0, echo: true, logprobs: 0 });
    expect(answer.choices[0]).toMatchObject({ text: text.prompt, finish_reason: 'length' });
    expect(answer.choices[0]?.logprobs?.tokens).toEqual(['Once', ' upon', ' a', ' time']);
    expect(answer.usage?.completion_tokens).toBe(0);
  });

  it('includes the end of sequence in log-probabilities, outside the text', async () => {
    const { openai } = await startStack(db.database);
    const answer = await openai.completions.create({ ...text, logprobs: 2 });
    const { tokens = [], text_offset = [], top_logprobs = [] } = answer.choices[0]?.logprobs ?? {};
    expect(tokens.at(-1)).toBe('<|im_end|>');
    expect(text_offset.at(-1)).toBe(answer.choices[0]?.text.length);
    expect(new Set([tokens.length, text_offset.length, top_logprobs.length]).size).toBe(1);
    expect(Object.keys(top_logprobs[0] ?? {})).toHaveLength(2);
  });

  it('streams echo and log-probabilities that add up to the whole answer', async () => {
    const { openai } = await startStack(db.database);
    const ask = { ...text, echo: true, logprobs: 1 };
    const whole = await openai.completions.create(ask);
    const tokens: string[] = [];
    let said = '';
    for await (const chunk of await openai.completions.create({ ...ask, stream: true })) {
      said += chunk.choices[0]?.text ?? '';
      tokens.push(...(chunk.choices[0]?.logprobs?.tokens ?? []));
    }
    expect(said).toBe(whole.choices[0]?.text);
    expect(tokens).toEqual(whole.choices[0]?.logprobs?.tokens);
  });

  it('returns the best of several candidates', async () => {
    const { openai, fake } = await startStack(db.database);
    const answer = await openai.completions.create({ ...text, n: 1, best_of: 3 });
    expect(answer.choices).toHaveLength(1);
    expect(answer.choices[0]?.logprobs).toBeNull();
    expect(fake.requests.at(-1)).toMatchObject({ n: 3, sampling: { logprobs: 0 } });
  });

  it('is steered and watched like a chat', async () => {
    const { v1, fake } = await startStack(db.database);
    const ask = { ...text, steering: { features: [{ index: 7, strength: 5 }] }, activations: { top_k: 1 } };
    const response = await v1('/completions', ask);
    expect(response.headers.get('x-millm-steering')).toBe(fake.requests.at(-1)?.steering?.fingerprint);
    const { choices } = (await response.json()) as Watched;
    expect(choices[0]?.millm.activations[0]?.features).toEqual([
      { index: 1, value: 8, label: 'feature 1 about numbers' },
    ]);
  });

  it('tells a feature once that is both chosen and among the strongest', async () => {
    const { v1 } = await startStack(db.database);
    const response = await v1('/completions', { ...text, activations: { top_k: 2, features: [2, 7] } });
    const { choices } = (await response.json()) as Watched;
    expect(choices[0]?.millm.activations[0]?.features).toMatchObject([
      { index: 2, value: 7 },
      { index: 7, value: 1.5 },
      { index: 1, value: 8 },
    ]);
  });

  it.each([
    ['no prompt', { model: modelName }, 'missing_required_parameter', 'prompt'],
    ['an empty prompt', { ...text, prompt: '' }, 'invalid_value', 'prompt'],
    ['an empty list', { ...text, prompt: [] }, 'invalid_value', 'prompt'],
    ['an empty item', { ...text, prompt: ['a', ''] }, 'invalid_value', 'prompt[1]'],
    ['mixed items', { ...text, prompt: ['a', 5] }, 'invalid_type', 'prompt[1]'],
    ['an id outside the vocabulary', { ...text, prompt: [1, 49152] }, 'invalid_value', 'prompt'],
    ['logprobs 21', { ...text, logprobs: 21 }, 'invalid_value', 'logprobs'],
    ['negative max_tokens', { ...text, max_tokens: -1 }, 'invalid_value', 'max_tokens'],
    ['best_of below n', { ...text, n: 3, best_of: 2 }, 'invalid_value', 'best_of'],
    ['best_of with a stream', { ...text, best_of: 2, stream: true }, 'invalid_value', 'best_of'],
    ['a suffix', { ...text, suffix: 'end' }, 'unsupported_parameter', 'suffix'],
    ['an image', { ...text, prompt: { url: 'x' } }, 'invalid_type', 'prompt'],
  ])('refuses %s', async (_name, body, code, param) => {
    const { v1 } = await startStack(db.database);
    const response = await v1('/completions', body);
    expect([response.status, await response.json()]).toMatchObject([400, { error: { code, param } }]);
  });

  it('says which id is out of vocabulary', async () => {
    const { openai } = await startStack(db.database);
    await expect(openai.completions.create({ ...text, prompt: [[1], [50000]] })).rejects.toThrow(
      'Token id 50000 is out of vocabulary (vocabulary size 49152).',
    );
  });

  it('words an overflow for a prompt', async () => {
    const { openai } = await startStack(db.database);
    await expect(openai.completions.create({ ...text, max_tokens: 4000 })).rejects.toThrow(
      "This model's maximum context length is 2048 tokens. However, you requested 4004 tokens (4 in the prompt, " +
        '4000 in the completion). Please reduce the length of the prompt or completion.',
    );
  });
});
