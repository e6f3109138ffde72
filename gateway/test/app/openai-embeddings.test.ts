// Embeddings, and what lies beside /v1: tokens, readiness, a labeler's farewell.
import { describe, expect, it } from 'vitest';
import { modelName, startStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { encode } from '../fake/tokenizer.ts';
import { hi } from '../openai-asks.ts';

const db = useDatabase();

describe('embeddings', () => {
  it('decodes with the official client, which asks for base64 by itself', async () => {
    const { openai, v1 } = await startStack(db.database);
    const answer = await openai.embeddings.create({ model: modelName, input: ['the sea', 'a'] });
    expect(answer.data.map(({ index }) => index)).toEqual([0, 1]);
    const floats = (await (
      await v1('/embeddings', { model: modelName, input: ['the sea', 'a'] })
    ).json()) as typeof answer;
    answer.data.forEach(({ embedding }, index) => {
      expect(embedding).toHaveLength(8);
      embedding.forEach((value, d) => expect(value).toBeCloseTo(floats.data[index]?.embedding[d] ?? 0, 5));
    });
    expect(answer.usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
  });

  it('takes token ids, one list or several', async () => {
    const { openai } = await startStack(db.database);
    const one = await openai.embeddings.create({ model: modelName, input: encode('the sea') });
    expect([one.data.length, one.usage.prompt_tokens]).toEqual([1, 2]);
    expect((await openai.embeddings.create({ model: modelName, input: [[1], [2, 3]] })).data).toHaveLength(2);
  });

  it('shortens to unit length', async () => {
    const { openai } = await startStack(db.database);
    const [first] = (await openai.embeddings.create({ model: modelName, input: 'x', dimensions: 3 })).data;
    expect(first?.embedding).toHaveLength(3);
    expect(Math.hypot(...(first?.embedding ?? []))).toBeCloseTo(1, 5);
  });

  it.each([
    ['nothing', { input: '' }, 'input'],
    ['an empty list', { input: [] }, 'input'],
    ['too many', { input: Array.from({ length: 2049 }, () => 'x') }, 'input'],
    ['too many dimensions', { input: 'x', dimensions: 9999 }, 'dimensions'],
    ['an unknown encoding', { input: 'x', encoding_format: 'hex' }, 'encoding_format'],
  ])('refuses %s', async (_name, body, param) => {
    const { v1 } = await startStack(db.database);
    const response = await v1('/embeddings', { model: modelName, ...body });
    expect([response.status, await response.json()]).toMatchObject([400, { error: { code: 'invalid_value', param } }]);
  });

  it('hints at the usual cause of a foreign token id', async () => {
    const { openai } = await startStack(db.database);
    await expect(openai.embeddings.create({ model: modelName, input: [100_000] })).rejects.toThrow(
      'check_embedding_ctx_length=False',
    );
  });
});

describe('beside /v1', () => {
  it('tokenizes and detokenizes', async () => {
    const { url } = await startStack(db.database);
    const post = async (path: string, body: object) =>
      (await (
        await fetch(url + path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
      ).json()) as { tokens: number[]; count: number; prompt: string; max_model_len: number };
    const answer = await post('/tokenize', { model: modelName, prompt: 'the sea' });
    expect(answer).toMatchObject({ count: 2, tokens: encode('the sea'), max_model_len: 2048 });
    expect(await post('/detokenize', { tokens: answer.tokens })).toEqual({ prompt: 'the sea' });
    expect(await post('/tokenize', { messages: hi.messages })).toMatchObject({ count: 3 });
    expect(await post('/tokenize', {})).toMatchObject({ error: { param: 'prompt' } });
  });

  it('says whether it is ready, without a key', async () => {
    const { url, fake, api } = await startStack(db.database, { env: { MILLM_API_KEYS: 'k' }, key: 'k' });
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok' });
    expect((await fetch(`${url}/version`)).status).toBe(200);
    expect((await fetch(`${url}/tokenize`, { method: 'POST' })).status).toBe(401);
    await api('POST', '/models/HuggingFaceTB--SmolLM2-135M-Instruct/unload');
    const loading = await fetch(`${url}/health`);
    expect([loading.status, await loading.json()]).toMatchObject([
      503,
      { error: { message: 'Loading model', code: 'model_loading' } },
    ]);
    expect(fake.state().model).toBeNull();
  });

  it('does nothing, politely, when a labeler frees the model it used', async () => {
    const { url } = await startStack(db.database);
    const response = await fetch(`${url}/api/generate`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: modelName, prompt: '', keep_alive: 0 }),
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ done: true });
  });
});
