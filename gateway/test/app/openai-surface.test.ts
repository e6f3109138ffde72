// The rest of /v1 with the official client: completions, embeddings, tools, formats, responses.
import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { modelName, readFrames, startStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { encode } from '../fake/tokenizer.ts';

const db = useDatabase();
const hi = { model: modelName, messages: [{ role: 'user' as const, content: 'hi' }] };
const text = { model: modelName, prompt: 'Once upon a time' };
interface Watched {
  choices: { millm: { activations: { features: unknown[] }[] } }[];
}
const tools = ['get_weather', 'get_time'].map((name) => ({
  type: 'function' as const,
  function: { name, parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
}));

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

describe('tools', () => {
  it('are told to the template and read from the answer', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'tools';
    const answer = await openai.chat.completions.create({ ...hi, tools });
    expect(fake.requests.at(-1)?.prompt).toMatchObject({ tools });
    expect(answer.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        content: 'Let me look.',
        tool_calls: [
          { type: 'function', function: { name: 'get_weather', arguments: '{"city":"Paris"}' } },
          { type: 'function', function: { name: 'get_time', arguments: '{"city":"Paris"}' } },
        ],
      },
    });
    const ids = answer.choices[0]?.message.tool_calls?.map(({ id }) => id) ?? [];
    expect(new Set(ids).size).toBe(2);
  });

  it.each(['tool', 'tool-llama', 'tool-mistral'] as const)('stream, from a model that writes %s', async (scenario) => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = scenario;
    const final = await openai.chat.completions.stream({ ...hi, tools }).finalChatCompletion();
    expect(final.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { tool_calls: [{ function: { name: 'get_weather', arguments: '{"city":"Paris"}' } }] },
    });
  });

  it('stream with id and name once and an index always', async () => {
    const { v1, fake } = await startStack(db.database);
    fake.scenario = 'tools';
    const frames = await readFrames(await v1('/chat/completions', { ...hi, tools, stream: true }));
    const deltas = frames
      .slice(0, -1)
      .flatMap(
        (frame) =>
          (JSON.parse(frame) as { choices: { delta: { tool_calls?: { index?: number; id?: string }[] } }[] }).choices,
      )
      .flatMap(({ delta }) => delta.tool_calls ?? []);
    expect(deltas.every(({ index }) => index !== undefined)).toBe(true);
    expect(deltas.filter(({ id }) => id !== undefined).map(({ index }) => index)).toEqual([0, 1]);
  });

  it('are enforced by grammar when required or named', async () => {
    const { openai, fake } = await startStack(db.database);
    const required = await openai.chat.completions.create({ ...hi, tools, tool_choice: 'required' });
    expect(fake.requests.at(-1)?.grammar?.kind).toBe('json_schema');
    expect(required.choices[0]?.message.tool_calls?.[0]).toMatchObject({
      function: { name: 'get_weather', arguments: '{"city":"Paris"}' },
    });
    const named = await openai.chat.completions.create({
      ...hi,
      tools,
      tool_choice: { type: 'function', function: { name: 'get_time' } },
    });
    expect(JSON.parse(fake.requests.at(-1)?.grammar?.value ?? '')).toEqual({
      ...tools[1]?.function.parameters,
      additionalProperties: false,
    });
    expect(named.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { content: null, tool_calls: [{ function: { name: 'get_time', arguments: '{"city":"Paris"}' } }] },
    });
  });

  it('may be several when one is required, unless only one is wanted', async () => {
    const { openai, fake } = await startStack(db.database);
    const calls = ['Paris', 'Rome'].map((city) => JSON.stringify({ name: 'get_weather', arguments: { city } }));
    fake.script = [`[${calls[0] ?? ''},`, `${calls[1] ?? ''}]`];
    const ask = { ...hi, tools, tool_choice: 'required' as const };
    const several = await openai.chat.completions.create(ask);
    expect(several.choices[0]?.message.tool_calls).toMatchObject([
      { function: { arguments: '{"city":"Paris"}' } },
      { function: { arguments: '{"city":"Rome"}' } },
    ]);
    const allowed = JSON.parse(fake.requests.at(-1)?.grammar?.value ?? '') as { anyOf: { type: string }[] };
    expect(allowed.anyOf.map(({ type }) => type)).toEqual(['object', 'object', 'array']);

    fake.script = null;
    const one = await openai.chat.completions.create({ ...ask, parallel_tool_calls: false });
    expect(one.choices[0]?.message.tool_calls).toHaveLength(1);
    expect(fake.requests.at(-1)?.grammar?.value).not.toContain('"array"');
  });

  it.each(['tool', 'tool-llama', 'tool-mistral'] as const)('stream arguments in pieces: %s', async (scenario) => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = scenario;
    const pieces: string[] = [];
    for await (const chunk of await openai.chat.completions.create({ ...hi, tools, stream: true })) {
      for (const call of chunk.choices[0]?.delta.tool_calls ?? []) pieces.push(call.function?.arguments ?? '');
    }
    expect(pieces.filter((piece) => piece !== '').length).toBeGreaterThan(1);
    expect(pieces.join('')).toBe('{"city":"Paris"}');
  });

  it('can be switched off, or limited to one', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'tools';
    const off = await openai.chat.completions.create({ ...hi, tools, tool_choice: 'none' });
    expect(off.choices[0]?.message.tool_calls).toBeUndefined();
    expect(fake.requests.at(-1)?.prompt).toMatchObject({ tools: null });
    const one = await openai.chat.completions.create({ ...hi, tools, parallel_tool_calls: false });
    expect(one.choices[0]?.message.tool_calls).toHaveLength(1);
  });

  it('refuses a choice that makes no sense', async () => {
    const { v1 } = await startStack(db.database);
    const nobody = { type: 'function', function: { name: 'nobody' } };
    for (const extra of [{ tool_choice: 'auto' }, { tools, tool_choice: nobody }, { tools, tool_choice: 'always' }]) {
      const response = await v1('/chat/completions', { ...hi, ...extra });
      expect([response.status, await response.json()]).toMatchObject([400, { error: { param: 'tool_choice' } }]);
    }
  });
});

describe('formats', () => {
  const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };

  it('are constraints on decoding, named in a header', async () => {
    const { v1, fake } = await startStack(db.database);
    const asks: [object, object, string][] = [
      [{ type: 'json_object' }, { kind: 'json_object', value: '' }, 'json_object'],
      [
        { type: 'json_schema', json_schema: { name: 'place', schema } },
        { kind: 'json_schema', value: JSON.stringify(schema) },
        'json_schema;name="place"',
      ],
      [{ type: 'json_object', schema }, { kind: 'json_schema', value: JSON.stringify(schema) }, 'json_schema'],
    ];
    for (const [response_format, grammar, header] of asks) {
      const response = await v1('/chat/completions', { ...hi, response_format });
      expect(response.headers.get('x-millm-constrained')).toBe(header);
      expect(fake.requests.at(-1)?.grammar).toEqual(grammar);
      const body = (await response.json()) as OpenAI.ChatCompletion;
      expect(() => JSON.parse(body.choices[0]?.message.content ?? '') as unknown).not.toThrow();
    }
    expect(
      (await v1('/chat/completions', { ...hi, response_format: { type: 'text' } })).headers.get('x-millm-constrained'),
    ).toBeNull();
    expect(fake.requests.at(-1)?.grammar).toBeNull();
  });

  it('are refused when they are not what they say, never dropped', async () => {
    const { v1 } = await startStack(db.database);
    const code = async (extra: object) => {
      const { error } = (await (await v1('/chat/completions', { ...hi, ...extra })).json()) as OpenAI.ErrorObject & {
        error: { message: string; code: string };
      };
      return [error.code, error.message];
    };
    expect(await code({ response_format: { type: 'json_schema' } })).toEqual([
      'invalid_value',
      expect.stringMatching(/must be provided\.$/),
    ]);
    expect((await code({ response_format: { type: 'yaml' } }))[0]).toBe('invalid_value');
    expect((await code({ response_format: { type: 'json_object' }, tools }))[0]).toBe('unsupported_value');
    expect((await code({ structured_outputs: { choice: [] } }))[0]).toBe('invalid_value');
  });

  it('know the structured outputs of other servers', async () => {
    const { v1, fake } = await startStack(db.database);
    await v1('/completions', { ...text, structured_outputs: { choice: ['yes', 'no'] } });
    expect(fake.requests.at(-1)?.grammar).toEqual({ kind: 'choice', value: '["yes","no"]' });
    await v1('/completions', { ...text, structured_outputs: { regex: '[a-z]+' } });
    expect(fake.requests.at(-1)?.grammar).toEqual({ kind: 'regex', value: '[a-z]+' });
  });
});

describe('reasoning', () => {
  it('is kept apart and counted', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'think';
    const answer = await openai.chat.completions.create(hi);
    expect(answer.choices[0]?.message).toMatchObject({
      content: 'Hello there.',
      reasoning_content: 'The user greets me.',
    });
    expect(answer.usage?.completion_tokens_details?.reasoning_tokens).toBeGreaterThan(0);
  });

  it('may have been opened by the prompt, but not before what a grammar forces', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'think-open';
    const answer = await openai.chat.completions.create(hi);
    expect(answer.choices[0]?.message).toMatchObject({
      content: 'Hello there.',
      reasoning_content: 'The user greets me.',
    });
    const forced = await openai.chat.completions.create({ ...hi, response_format: { type: 'json_object' } });
    expect(forced.choices[0]?.message.content).toBe('{"ok": true}');
  });

  it('is asked for or declined through the template', async () => {
    const { openai, fake } = await startStack(db.database);
    await openai.chat.completions.create({ ...hi, reasoning_effort: 'none' });
    expect(fake.requests.at(-1)?.prompt).toMatchObject({ chat_template_kwargs: { enable_thinking: false } });
    await openai.chat.completions.create({
      ...hi,
      reasoning_effort: 'none',
      ...({ chat_template_kwargs: { enable_thinking: true } } as object),
    });
    expect(fake.requests.at(-1)?.prompt).toMatchObject({ chat_template_kwargs: { enable_thinking: true } });
  });
});

describe('responses', () => {
  const ask = { model: modelName, input: 'hi' };

  it('answer with text', async () => {
    const { openai, fake } = await startStack(db.database);
    const answer = await openai.responses.create({ ...ask, instructions: 'Be brief.', max_output_tokens: 50 });
    expect(answer.output_text).toMatch(/^Hello! You said \d+ characters\.$/);
    expect(answer).toMatchObject({ object: 'response', status: 'completed', error: null, incomplete_details: null });
    expect(answer.usage).toMatchObject({
      input_tokens: expect.any(Number),
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: expect.any(Number),
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: expect.any(Number),
    });
    expect(fake.requests.at(-1)?.prompt).toMatchObject({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'hi' },
      ],
    });
  });

  it('stream what the official helper accepts', async () => {
    const { openai } = await startStack(db.database);
    const types: string[] = [];
    const stream = openai.responses.stream(ask).on('event', (event) => types.push(event.type));
    const final = await stream.finalResponse();
    expect(final.output_text).toMatch(/^Hello!/);
    expect(types.filter((type) => type !== 'response.output_text.delta')).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
  });

  it('number their events and name them', async () => {
    const { v1 } = await startStack(db.database);
    const blocks = (await (await v1('/responses', { ...ask, stream: true })).text()).trim().split('\n\n');
    const events = blocks.map((block) => {
      const [name = '', data = ''] = block.split('\n');
      return {
        name: name.replace('event: ', ''),
        data: JSON.parse(data.replace('data: ', '')) as { type: string; sequence_number: number },
      };
    });
    expect(events.every(({ name, data }) => name === data.type)).toBe(true);
    expect(events.map(({ data }) => data.sequence_number)).toEqual(events.map((_, index) => index));
  });

  it('call functions, and take their results back', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'tools';
    const flat = tools.map(({ type, function: { name, parameters } }) => ({ type, name, parameters, strict: false }));
    const final = await openai.responses.stream({ ...ask, tools: flat }).finalResponse();
    expect(final.output).toMatchObject([
      { type: 'message', content: [{ text: 'Let me look.' }] },
      { type: 'function_call', name: 'get_weather', arguments: '{"city":"Paris"}', status: 'completed' },
      { type: 'function_call', name: 'get_time' },
    ]);
    fake.scenario = 'plain';
    const calls = final.output.filter((item) => item.type === 'function_call');
    await openai.responses.create({
      model: modelName,
      input: [
        { role: 'user', content: [{ type: 'input_text', text: 'hi' }] },
        ...calls.map(({ call_id, name, arguments: args }) => ({
          type: 'function_call' as const,
          call_id,
          name,
          arguments: args,
        })),
        ...calls.map(({ call_id }) => ({ type: 'function_call_output' as const, call_id, output: 'sunny' })),
      ],
    });
    expect(fake.requests.at(-1)?.prompt).toMatchObject({
      messages: [
        { role: 'user', content: 'hi' },
        { role: 'assistant', tool_calls: [{ function: { name: 'get_weather' } }, { function: { name: 'get_time' } }] },
        { role: 'tool', content: 'sunny' },
        { role: 'tool', content: 'sunny' },
      ],
    });
  });

  it('keep reasoning apart, honour a format and say when they were cut', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'think';
    const thought = await openai.responses.create(ask);
    expect(thought.output.map(({ type }) => type)).toEqual(['reasoning', 'message']);
    fake.scenario = 'plain';
    const schema = { type: 'object', properties: { city: { type: 'string' } } };
    const shaped = await openai.responses.create({
      ...ask,
      text: { format: { type: 'json_schema', name: 'x', schema } },
    });
    expect(JSON.parse(shaped.output_text)).toEqual({ city: 'Paris' });
    const cut = await openai.responses.create({ ...ask, max_output_tokens: 1 });
    expect(cut).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } });
  });

  it('refuse what needs state, and what they cannot do', async () => {
    const { v1 } = await startStack(db.database);
    const error = async (extra: object) =>
      ((await (await v1('/responses', { ...ask, ...extra })).json()) as { error: { code: string; param: string } })
        .error;
    expect(await error({ previous_response_id: 'resp_1' })).toMatchObject({
      code: 'unsupported_parameter',
      param: 'previous_response_id',
    });
    expect(await error({ tools: [{ type: 'web_search' }] })).toMatchObject({
      code: 'unsupported_value',
      param: 'tools[0].type',
    });
    expect(await error({ input: [{ role: 'user', content: [{ type: 'input_image' }] }] })).toMatchObject({
      param: 'input[0].content[0]',
    });
    expect(await error({ input: [{ type: 'item_reference', id: 'x' }] })).toMatchObject({ code: 'unsupported_value' });
    expect(await error({ model: 'nope' })).toMatchObject({ code: 'model_not_found' });
  });

  it('report a late failure in their own way', async () => {
    const { openai, fake } = await startStack(db.database);
    fake.scenario = 'error-late';
    const failing = async () => {
      for await (const event of await openai.responses.create({ ...ask, stream: true })) {
        if (event.type === 'error') throw new Error(event.code ?? '');
      }
    };
    await expect(failing()).rejects.toThrow();
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
