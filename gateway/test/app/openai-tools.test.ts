// Tools, formats and reasoning: what a grammar forces and what is read from the answer.
import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { readFrames, startStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { hi, text, tools } from '../openai-asks.ts';

const db = useDatabase();

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
