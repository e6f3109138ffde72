// The Responses API.
import { describe, expect, it } from 'vitest';
import { modelName, startStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { tools } from '../openai-asks.ts';

const db = useDatabase();

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
