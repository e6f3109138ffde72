// The official client against the gateway.
import OpenAI from 'openai';
import type { ChatCompletionChunk } from 'openai/resources/chat/completions';
import { describe, expect, it } from 'vitest';
import { modelName, readFrames, startStack, until } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();
const hi = { model: modelName, messages: [{ role: 'user' as const, content: 'hi' }] };

async function collect(stream: AsyncIterable<ChatCompletionChunk>): Promise<ChatCompletionChunk[]> {
  const out: ChatCompletionChunk[] = [];
  for await (const chunk of stream) out.push(chunk);
  return out;
}
const textOf = (chunks: ChatCompletionChunk[]) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');

describe('chat completions', () => {
  it('answers with every key the API requires', async () => {
    const { openai } = await startStack(db.database);
    const answer = await openai.chat.completions.create(hi);
    expect(answer).toMatchObject({ object: 'chat.completion', model: modelName });
    expect(answer.id).toMatch(/^chatcmpl-[0-9a-f]{24}$/);
    expect(answer.choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: 'Hello! You said 9 characters.', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 9, total_tokens: 12 });
  });

  it('streams the same text as it answers', async () => {
    const { openai } = await startStack(db.database);
    const whole = await openai.chat.completions.create(hi);
    const chunks = await collect(await openai.chat.completions.create({ ...hi, stream: true }));
    expect(textOf(chunks)).toBe(whole.choices[0]?.message.content);
    expect(chunks.filter((chunk) => chunk.choices[0]?.finish_reason)).toHaveLength(1);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  it('ends a stream with usage when asked, else without a usage key, and always with [DONE]', async () => {
    const { v1 } = await startStack(db.database);
    const plain = await readFrames(await v1('/chat/completions', { ...hi, stream: true, stream_options: null }));
    expect(plain.at(-1)).toBe('[DONE]');
    expect(plain.some((frame) => frame.includes('"usage"'))).toBe(false);
    const asked = { ...hi, stream: true, stream_options: { include_usage: true } };
    const frames = await readFrames(await v1('/chat/completions', asked));
    const chunks = frames.slice(0, -1).map((frame) => JSON.parse(frame) as ChatCompletionChunk);
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 3 } });
    expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
  });

  it('sets the headers of a stream', async () => {
    const { v1 } = await startStack(db.database);
    const response = await v1('/chat/completions', { ...hi, stream: true }, { 'x-request-id': 'mine-1' });
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      'x-request-id': 'mine-1',
      'x-millm-steering': 'none',
    });
    await response.text();
  });

  it("works with the client's streaming helper, with several choices", async () => {
    const { openai } = await startStack(db.database);
    const final = await openai.chat.completions.stream({ ...hi, n: 2 }).finalChatCompletion();
    expect(final.choices.map((choice) => choice.message.content)).toEqual([
      'Hello! You said 9 characters.',
      'Hello! You said 9 characters. (choice 1)',
    ]);
  });

  it('takes a short name, in any case, and echoes it', async () => {
    const { openai } = await startStack(db.database);
    const answer = await openai.chat.completions.create({ ...hi, model: 'SmolLM2-135M-instruct' });
    expect(answer.model).toBe('SmolLM2-135M-instruct');
  });

  it('hands sampling on unchanged', async () => {
    const { openai, fake } = await startStack(db.database);
    await openai.chat.completions.create({
      ...hi,
      temperature: 0.3,
      top_p: 0.9,
      frequency_penalty: 0.5,
      presence_penalty: -0.5,
      logit_bias: { '42': -100 },
      seed: -7,
      stop: ['END', 'zzz'],
      max_completion_tokens: 5,
      max_tokens: 3,
      ...({ top_k: 40, min_p: 0.05, repetition_penalty: 1.1, min_tokens: 2 } as object),
    });
    expect(fake.requests.at(-1)?.sampling).toMatchObject({
      temperature: 0.3,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      frequency_penalty: 0.5,
      presence_penalty: -0.5,
      repetition_penalty: 1.1,
      logit_bias: { '42': -100 },
      seed: -7,
      stop: ['END', 'zzz'],
      max_tokens: 5,
      min_tokens: 2,
      logprobs: null,
    });
  });

  it('keeps every digit of a 64-bit seed', async () => {
    const { v1, fake } = await startStack(db.database);
    const raw: string[] = [];
    fake.onBody = (text) => raw.push(text);
    const body = JSON.stringify({ ...hi, seed: 0 }).replace('"seed":0', '"seed":9223372036854775807');
    expect((await v1('/chat/completions', body)).status).toBe(200);
    expect(raw.at(-1)).toContain('"seed":9223372036854775807');
    const tooLarge = body.replace('9223372036854775807', '9223372036854775808');
    expect((await v1('/chat/completions', tooLarge)).status).toBe(400);
  });

  it('gives log-probabilities, streamed or not, whose bytes are the text', async () => {
    const { openai } = await startStack(db.database);
    const ask = { ...hi, logprobs: true, top_logprobs: 2 };
    const whole = await openai.chat.completions.create(ask);
    const entries = whole.choices[0]?.logprobs?.content ?? [];
    const bytes = Buffer.from(entries.flatMap((entry) => entry.bytes ?? []));
    expect(bytes.toString()).toBe(whole.choices[0]?.message.content);
    expect(entries[0]?.top_logprobs).toHaveLength(2);
    const chunks = await collect(await openai.chat.completions.create({ ...ask, stream: true }));
    expect(chunks.flatMap((chunk) => chunk.choices[0]?.logprobs?.content ?? [])).toEqual(entries);
  });

  it('stops before a stop string and says so', async () => {
    const { openai } = await startStack(db.database);
    const answer = await openai.chat.completions.create({ ...hi, stop: ' said' });
    expect(answer.choices[0]).toMatchObject({ message: { content: 'Hello! You' }, finish_reason: 'stop' });
  });

  it('says length when the tokens run out', async () => {
    const { openai } = await startStack(db.database);
    const answer = await openai.chat.completions.create({ ...hi, max_tokens: 2 });
    expect(answer.choices[0]).toMatchObject({ message: { content: 'Hello!' }, finish_reason: 'length' });
  });

  it('never breaks a character, however the bytes arrive', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'split-utf8';
    const chunks = await collect(await openai.chat.completions.create({ ...hi, stream: true }));
    expect(textOf(chunks)).toBe('Grüße 👩‍👩‍👧‍👦 日本語 café');
  });

  it('pings while a long prefill is silent', async () => {
    const { v1, fake } = await startStack(db.database, { env: { MILLM_KEEPALIVE_S: '0.05' } });
    fake.scenario = 'silent-prefill';
    const text = await (await v1('/chat/completions', { ...hi, stream: true })).text();
    expect(text.match(/: ping\n\n/g)?.length).toBeGreaterThan(2);
    expect(text).toContain('[DONE]');
  });

  it('accepts unknown fields and lists them; refuses them in strict mode', async () => {
    const { v1 } = await startStack(db.database);
    const body = { ...hi, colour: 1, messages: [{ role: 'user', content: 'hi', mood: 'x' }], user: 'me' };
    const loose = await v1('/chat/completions', body);
    expect(loose.status).toBe(200);
    expect(loose.headers.get('x-millm-ignored-fields')).toBe('"messages[0].mood", "colour"');
    const strict = await v1('/chat/completions', body, { 'X-miLLM-Strict': '1' });
    expect(strict.status).toBe(400);
    expect(await strict.json()).toMatchObject({ error: { code: 'unsupported_parameter', param: 'messages[0].mood' } });
  });

  it('passes messages to the template: parts joined, developer as system, arguments as an object', async () => {
    const { openai, fake } = await startStack(db.database);
    await openai.chat.completions.create({
      model: modelName,
      messages: [
        { role: 'developer', content: 'Be brief.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'one' },
            { type: 'text', text: 'two' },
          ],
        },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }],
        },
        { role: 'tool', tool_call_id: 'call_1', content: '42' },
      ],
    });
    expect(fake.requests.at(-1)?.prompt).toMatchObject({
      type: 'chat',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'one\ntwo' },
        {
          role: 'assistant',
          content: '',
          tool_calls: [{ id: 'call_1', function: { name: 'f', arguments: { a: 1 } } }],
        },
        { role: 'tool', tool_call_id: 'call_1', content: '42' },
      ],
      add_generation_prompt: true,
    });
  });

  it('continues a final assistant message', async () => {
    const { v1, fake } = await startStack(db.database);
    const messages = [...hi.messages, { role: 'assistant', content: 'Sure,' }];
    await v1('/chat/completions', { ...hi, messages, continue_final_message: true });
    expect(fake.requests.at(-1)?.prompt).toMatchObject({ add_generation_prompt: false, continue_final_message: true });
  });

  it('forwards one request id to the sidecar and logs it', async () => {
    const { v1, fake, logs } = await startStack(db.database);
    await (await v1('/chat/completions', hi, { 'x-request-id': 'trace-7' })).text();
    expect(fake.requests.at(-1)?.request_id).toBe('trace-7');
    expect(fake.requestIds.at(-1)).toBe('trace-7');
    await until(() => logs.some((line) => line['event'] === 'request' && line['request_id'] === 'trace-7'));
  });

  it('logs no prompt text and no keys', async () => {
    const { v1, logs } = await startStack(db.database, { env: { MILLM_API_KEYS: 'sk-secret' } });
    const messages = [{ role: 'user', content: 'the password is swordfish' }];
    await (await v1('/chat/completions', { ...hi, messages }, { authorization: 'Bearer sk-secret' })).text();
    await until(() => logs.some((line) => line['event'] === 'request'));
    expect(JSON.stringify(logs)).not.toMatch(/swordfish|sk-secret/);
  });
});

describe('failures while generating', () => {
  it('is an in-band error and then [DONE] when the engine fails late', async () => {
    const { v1, fake } = await startStack(db.database);
    fake.scenario = 'error-late';
    const frames = await readFrames(await v1('/chat/completions', { ...hi, stream: true }));
    expect(JSON.parse(frames.at(-2) ?? '')).toEqual({
      error: { message: expect.any(String), type: 'server_error', param: null, code: 'engine_error' },
    });
    expect(frames.at(-1)).toBe('[DONE]');
  });

  it('is the same when the sidecar dies, or just ends', async () => {
    for (const scenario of ['disconnect', 'eof'] as const) {
      const { openai, fake } = await startStack(db.database);
      fake.scenario = scenario;
      const stream = await openai.chat.completions.create({ ...hi, stream: true });
      await expect(collect(stream)).rejects.toThrow(OpenAI.APIError);
    }
  });

  it('is a proper error answer when not streaming', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'error-late';
    await expect(openai.chat.completions.create(hi)).rejects.toThrow(OpenAI.InternalServerError);
  });

  it.each([
    ['error-early', OpenAI.BadRequestError, 'invalid_chat_template_input'],
    ['queue-full', OpenAI.RateLimitError, 'queue_full'],
    ['out-of-memory', OpenAI.InternalServerError, 'out_of_memory'],
    ['overflow', OpenAI.BadRequestError, 'context_length_exceeded'],
  ] as const)('%s is JSON with a status even when streaming was asked for', async (scenario, type, code) => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = scenario;
    for (const stream of [false, true]) {
      const error = await openai.chat.completions.create({ ...hi, stream }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(type);
      expect(error).toMatchObject({ code });
    }
  });

  it('tells clients when to come back, and when not to', async () => {
    const { v1, fake } = await startStack(db.database);
    fake.scenario = 'queue-full';
    expect(Number((await v1('/chat/completions', hi)).headers.get('retry-after'))).toBeGreaterThan(0);
    fake.scenario = 'out-of-memory';
    expect((await v1('/chat/completions', hi)).headers.get('x-should-retry')).toBe('false');
  });

  it('words a context overflow the way clients recognise', async () => {
    const { v1, fake } = await startStack(db.database);
    fake.scenario = 'overflow';
    const asked = (await (await v1('/chat/completions', { ...hi, max_tokens: 9000 })).json()) as OpenAI.ErrorObject;
    expect(asked).toEqual({
      error: {
        message:
          "This model's maximum context length is 2048 tokens. However, you requested 9003 tokens (3 in the messages, " +
          '9000 in the completion). Please reduce the length of the messages or completion.',
        type: 'invalid_request_error',
        param: 'messages',
        code: 'context_length_exceeded',
      },
    });
    expect(await (await v1('/chat/completions', hi)).text()).toContain(
      "This model's maximum context length is 2048 tokens. However, your messages resulted in 3 tokens. " +
        'Please reduce the length of the messages.',
    );
  });
});

describe('a client that leaves', () => {
  it('cancels a streamed generation', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'slow';
    const stream = await openai.chat.completions.create({ ...hi, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    await until(() => fake.running === 0 && fake.cancelled === 1, 2_000);
  });

  it('cancels one that is not streamed, and one that has not started', async () => {
    const { openai, fake } = await startStack(db.database);
    for (const scenario of ['slow', 'stall'] as const) {
      fake.scenario = scenario;
      fake.cancelled = 0;
      const leaving = new AbortController();
      const answer = openai.chat.completions.create(hi, { signal: leaving.signal });
      await until(() => fake.running === 1);
      leaving.abort();
      await expect(answer).rejects.toThrow(OpenAI.APIUserAbortError);
      await until(() => fake.running === 0 && fake.cancelled === 1, 2_000);
    }
  });

  it('does not cancel a request just because its body was read', async () => {
    const { v1, fake } = await startStack(db.database);
    fake.scenario = 'slow';
    const response = await v1('/chat/completions', { ...hi, max_tokens: 10 });
    expect(response.status).toBe(200);
    await response.text();
    expect(fake.cancelled).toBe(0);
  });

  it('leaves other streams alone', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'slow';
    const leaver = await openai.chat.completions.create({ ...hi, stream: true });
    const stayer = collect(await openai.chat.completions.create({ ...hi, stream: true, max_tokens: 20 }));
    for await (const chunk of leaver) if (chunk.choices[0]?.delta.content) break;
    expect(textOf(await stayer).split('word').length - 1).toBeGreaterThan(15);
  });
});
