import { describe, expect, it } from 'vitest';
import { plainOutput } from '../../src/openai/output.ts';
import type { OutputParser } from '../../src/openai/output.ts';
import { reasoningOutput } from '../../src/openai/reasoning-output.ts';
import { namedCallOutput, toolCallOutput } from '../../src/openai/tool-output.ts';

interface Read {
  content: string;
  reasoning: string;
  calls: { name: string; args: string }[];
}

function read(parser: OutputParser, text: string, size: number): Read {
  const out: Read = { content: '', reasoning: '', calls: [] };
  const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size));
  for (const part of [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()]) {
    if (part.kind === 'content') out.content += part.text;
    else if (part.kind === 'reasoning') out.reasoning += part.text;
    else if (part.kind === 'call') out.calls[part.index] = { name: part.name, args: '' };
    else {
      const call = out.calls[part.index];
      if (call) call.args += part.text;
    }
  }
  return out;
}

/** Every way to cut the text gives the same. */
function readEveryWay(newParser: () => OutputParser, text: string): Read {
  const whole = read(newParser(), text, text.length);
  for (let size = 1; size < text.length; size += 1) {
    expect(read(newParser(), text, size), `pieces of ${size}`).toEqual(whole);
  }
  return whole;
}

const names = ['get_weather', 'get_time'];
const tools =
  (onlyOne = false) =>
  () =>
    toolCallOutput({ names, onlyOne });
const call = (name: string, city: string) => `{"name": "${name}", "arguments": {"city": "${city}"}}`;
const weather = { name: 'get_weather', args: '{"city":"Paris"}' };

describe('tool calls in text', () => {
  it.each([
    ['hermes', `<tool_call>\n${call('get_weather', 'Paris')}\n</tool_call>`],
    ['hermes without its end', `<tool_call>\n${call('get_weather', 'Paris')}`],
    ['mistral', `[TOOL_CALLS] [${call('get_weather', 'Paris')}]`],
    ['newer mistral', '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}'],
    ['llama', '{"name": "get_weather", "parameters": {"city": "Paris"}}'],
    ['llama with its tag', '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}'],
    ['a list', `[${call('get_weather', 'Paris')}]`],
    ['arguments as text', '{"name": "get_weather", "arguments": "{\\"city\\":\\"Paris\\"}"}'],
  ])('%s', (_name, text) => {
    expect(readEveryWay(tools(), text)).toEqual({ content: '', reasoning: '', calls: [weather] });
  });

  it('keeps the text before calls, and every call', () => {
    const text = `Let me look.\n<tool_call>${call('get_weather', 'Paris')}</tool_call>\n<tool_call>${call('get_time', 'Rome')}</tool_call>\n`;
    expect(readEveryWay(tools(), text)).toEqual({
      content: 'Let me look.',
      reasoning: '',
      calls: [weather, { name: 'get_time', args: '{"city":"Rome"}' }],
    });
  });

  it.each([
    ['hermes', '<tool_call>{"name": "get_weather", "arguments": ', '{"city": "Pa', 'ris"}', '}</tool_call>'],
    ['mistral', '[TOOL_CALLS] [{"name": "get_weather", "arguments": ', '{"city": "Pa', 'ris"}', '}]'],
    ['newer mistral', '[TOOL_CALLS]get_weather[ARGS]', '{"city": "Pa', 'ris"}', ''],
    ['llama', '<|python_tag|>{"name": "get_weather", "parameters": ', '{"city": "Pa', 'ris"}', '}'],
    ['bare', '{"name": "get_weather", "parameters": ', '{"city": "Pa', 'ris"}', '}'],
  ])('gives out arguments as they come: %s', (_name, head, first, second, rest) => {
    const parser = tools()();
    expect(parser.push(head)).toEqual([]);
    expect(parser.push(first)).toMatchObject([
      { kind: 'call', index: 0, name: 'get_weather' },
      { kind: 'arguments', index: 0, text: '{"city":"Pa' },
    ]);
    expect(parser.push(second)).toEqual([{ kind: 'arguments', index: 0, text: 'ris"}' }]);
    expect([...parser.push(rest), ...parser.end()]).toEqual([]);
  });

  it('that are cut off keep what there is', () => {
    expect(readEveryWay(tools(), '<tool_call>{"name": "get_time", "arguments": {"city": "Ro').calls).toEqual([
      { name: 'get_time', args: '{"city":"Ro' },
    ]);
    const broken = `<tool_call>{"name": "get_time", "arguments": {"city": </tool_call>\nSorry.`;
    expect(readEveryWay(tools(), broken)).toEqual({
      content: 'Sorry.',
      reasoning: '',
      calls: [{ name: 'get_time', args: '{"city":' }],
    });
  });

  it('may hold braces, tags and quotes in their strings, and keys after the arguments', () => {
    const args = { city: 'a } ] " \\ </tool_call> {', list: [1, { deep: null }] };
    const text = `<tool_call>{"name": "get_weather", "arguments": ${JSON.stringify(args, null, 2)}, "id": "{1}"}</tool_call>`;
    expect(readEveryWay(tools(), text).calls).toEqual([{ name: 'get_weather', args: JSON.stringify(args) }]);
  });

  it('may be several in a list, or each after a marker of its own', () => {
    const both = [weather, { name: 'get_time', args: '{"city":"Rome"}' }];
    const list = `[${call('get_weather', 'Paris')}, ${call('get_time', 'Rome')}]`;
    expect(readEveryWay(tools(), list).calls).toEqual(both);
    expect(readEveryWay(tools(true), list).calls).toEqual([weather]);
    const marked = '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]get_time[ARGS]{"city": "Rome"}';
    expect(readEveryWay(tools(), marked).calls).toEqual(both);
  });

  it('gives one call when several are not wanted', () => {
    const text = `<tool_call>${call('get_weather', 'Paris')}</tool_call><tool_call>${call('get_time', 'Rome')}</tool_call>`;
    expect(readEveryWay(tools(true), text).calls).toEqual([weather]);
  });

  it('reads several calls separated the way Llama does', () => {
    const text = `<|python_tag|>${call('get_weather', 'Paris')}; ${call('get_time', 'Rome')}`;
    expect(readEveryWay(tools(), text).calls).toHaveLength(2);
  });

  it.each([
    ['plain text', 'It is sunny in Paris. 2 < 3 and a[0] = <b>.'],
    ['JSON that is no call', '{"city": "Paris"}'],
    ['a call of something unknown', '{"name": "Bob", "arguments": {}}'],
    ['a list', '[1, 2, 3] are numbers'],
    ['broken JSON in a block', '<tool_call>{"name": </tool_call>'],
    ['white space at the ends', '  hello \n'],
    ['nothing', ''],
  ])('leaves %s as it is', (_name, text) => {
    expect(readEveryWay(tools(), text)).toEqual({ content: text, reasoning: '', calls: [] });
  });

  it('takes the whole text as arguments when the call is named', () => {
    expect(readEveryWay(() => namedCallOutput('get_weather'), '{"city":"Paris"}').calls).toEqual([weather]);
  });
});

describe('reasoning', () => {
  const thinking =
    (answer = plainOutput) =>
    () =>
      reasoningOutput(answer());

  it('is kept apart from the answer', () => {
    expect(readEveryWay(thinking(), '<think>\nHm, <b> a </thin k>.\n</think>\n\nHello <think>.')).toEqual({
      reasoning: 'Hm, <b> a </thin k>.',
      content: 'Hello <think>.',
      calls: [],
    });
  });

  it('may never end', () => {
    expect(readEveryWay(thinking(), '<think>So')).toEqual({ reasoning: 'So', content: '', calls: [] });
  });

  it('may have been opened by the prompt', () => {
    const opened = () => reasoningOutput(plainOutput(), { isOpen: true });
    expect(readEveryWay(opened, 'Hm. \n</think>\n\nHello.')).toEqual({
      reasoning: 'Hm.',
      content: 'Hello.',
      calls: [],
    });
    expect(readEveryWay(opened, '<think>\nHm.</think>Hello.')).toEqual({
      reasoning: 'Hm.',
      content: 'Hello.',
      calls: [],
    });
    expect(readEveryWay(opened, '</think>Hello.')).toEqual({ reasoning: '', content: 'Hello.', calls: [] });
    expect(readEveryWay(opened, ' <b> Hm')).toEqual({ reasoning: '<b> Hm', content: '', calls: [] });
    expect(readEveryWay(opened, '<')).toEqual({ reasoning: '<', content: '', calls: [] });
  });

  it('leaves an answer without it alone', () => {
    for (const text of [' Hello', '<b>', '<thin', '']) {
      expect(readEveryWay(thinking(), text)).toEqual({ reasoning: '', content: text, calls: [] });
    }
  });

  it('may be followed by a call', () => {
    const text = `<think>x</think>\n<tool_call>${call('get_weather', 'Paris')}</tool_call>`;
    expect(readEveryWay(() => reasoningOutput(tools()()), text)).toEqual({
      reasoning: 'x',
      content: '',
      calls: [weather],
    });
  });
});
