// Rules of the API that no other suite reaches: what is refused in which words, and what is passed on as it is.
import { describe, expect, it } from 'vitest';
import { modelName, startStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();
const hi = { model: modelName, messages: [{ role: 'user', content: 'hi' }] };
const stops = (count: number) => Array.from({ length: count }, (_, n) => `stop ${n}`);

describe('a request', () => {
  it.each([
    ['bad_words', { bad_words: ['x'] }, 'unsupported_parameter', 'bad_words', 'logit_bias'],
    ['allowed_token_ids', { allowed_token_ids: [1] }, 'unsupported_parameter', 'allowed_token_ids', 'logit_bias'],
    ['truncate_prompt_tokens', { truncate_prompt_tokens: 5 }, 'unsupported_parameter', 'truncate_prompt_tokens', ''],
    ['functions', { functions: [{ name: 'f' }] }, 'unsupported_parameter', 'functions', 'tools'],
    ['too many stops', { stop: stops(33) }, 'invalid_value', 'stop', 'stop must contain at most 32 strings, got 33.'],
    ['no tools in the list', { tools: [] }, 'invalid_value', 'tools', '`tools` must not be an empty array'],
    ['an empty stop', { stop: '' }, 'invalid_value', 'stop', 'stop cannot contain an empty string.'],
    ['an empty stop in a list', { stop: ['a', ''] }, 'invalid_value', 'stop', 'stop cannot contain an empty string.'],
    ['no choice', { n: 0 }, 'invalid_value', 'n', 'n must be in [1, 128], got 0.'],
    ['too many choices', { n: 129 }, 'invalid_value', 'n', 'n must be in [1, 128], got 129.'],
    ['more tokens at least than at most', { min_tokens: 9, max_tokens: 5 }, 'invalid_value', 'min_tokens', 'got 9'],
    [
      'a stop token nobody has',
      { stop_token_ids: [9_999_999] },
      'invalid_value',
      'stop_token_ids',
      'out of vocabulary',
    ],
  ])('with %s is refused in words that say what to do', async (_name, extra, code, param, words) => {
    const { v1 } = await startStack(db.database);
    const response = await v1('/chat/completions', { ...hi, ...extra });
    const { error } = (await response.json()) as { error: { code: string; param: string; message: string } };
    expect([response.status, error.code]).toEqual([400, code]);
    expect(error.param).toMatch(new RegExp(`^${param}`));
    expect(error.message).toContain(words);
  });

  it('has its ways of stopping passed on as they are', async () => {
    const { v1, fake } = await startStack(db.database);
    const ways = {
      stop: stops(32),
      stop_token_ids: [3, 5],
      include_stop_str_in_output: true,
      ignore_eos: true,
      min_tokens: 2,
      skip_special_tokens: false,
    };
    expect((await v1('/chat/completions', { ...hi, ...ways, max_tokens: 8 })).status).toBe(200);
    expect(fake.requests.at(-1)?.sampling).toMatchObject({ ...ways, max_tokens: 8 });
    expect((await v1('/chat/completions', { ...hi, stop: [], stop_token_ids: null })).status).toBe(200);
    expect(fake.requests.at(-1)?.sampling).toMatchObject({ stop: [], stop_token_ids: [] });
  });

  it('may carry what only changes how others serve it', async () => {
    const { v1 } = await startStack(db.database);
    const harmless = {
      ...{ user: 'me', metadata: { a: 'b' }, store: true, service_tier: 'auto' },
      ...{ prompt_cache_key: 'k', safety_identifier: 's' },
    };
    expect((await v1('/chat/completions', { ...hi, ...harmless })).status).toBe(200);
    const unknown = await v1('/chat/completions', { ...hi, priority: 3, cache_salt: 'x' });
    expect([unknown.status, unknown.headers.get('x-millm-ignored-fields')]).toEqual([200, '"priority", "cache_salt"']);
    const options = { stream: true, stream_options: { include_obfuscation: false, continuous_usage_stats: true } };
    expect((await v1('/chat/completions', { ...hi, ...options })).headers.get('content-type')).toContain(
      'event-stream',
    );
  });

  it.each(['reasoning', 'reasoning_content', 'reasoning_text'])('may give back earlier %s', async (field) => {
    const { v1 } = await startStack(db.database);
    const messages = [...hi.messages, { role: 'assistant', content: 'Hello.', [field]: 'Hm.' }, ...hi.messages];
    expect((await v1('/chat/completions', { ...hi, messages })).status).toBe(200);
  });
});

type Case = [body: object, param: string, words: string];

/** Every bound of the reference, in its words. */
const chatCases: Case[] = [
  [{ temperature: 2.1 }, 'temperature', 'temperature must be in [0, 2], got 2.1.'],
  [{ temperature: -1 }, 'temperature', 'temperature must be in [0, 2], got -1.'],
  [{ top_p: 0 }, 'top_p', 'top_p must be in (0, 1], got 0.'],
  [{ top_k: -2 }, 'top_k', 'top_k must be -1 or 0 (off) or at least 1, got -2.'],
  [{ min_p: 1.5 }, 'min_p', 'min_p must be in [0, 1], got 1.5.'],
  [{ frequency_penalty: 3 }, 'frequency_penalty', 'frequency_penalty must be in [-2, 2], got 3.'],
  [{ presence_penalty: -3 }, 'presence_penalty', 'presence_penalty must be in [-2, 2], got -3.'],
  [{ repetition_penalty: 0 }, 'repetition_penalty', 'repetition_penalty must be greater than zero, got 0.'],
  [{ logit_bias: { '1': 101 } }, 'logit_bias', 'logit_bias'],
  [{ logit_bias: { a: 1, b: 2 } }, 'logit_bias', 'b'],
  [{ logit_bias: { '9999999': 1 } }, 'logit_bias', '9999999'],
  [{ max_tokens: 0 }, 'max_tokens', 'must be at least 1, got 0.'],
  [{ top_logprobs: 3 }, 'top_logprobs', 'when using `top_logprobs`, `logprobs` must be set to true.'],
  [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs', '21'],
  [
    { stream_options: { include_usage: true } },
    'stream_options',
    'Stream options can only be defined when `stream=True`.',
  ],
  [{ response_format: { type: 'json_schema' } }, 'response_format', 'must be provided.'],
  [{ response_format: { type: 'yaml' } }, 'response_format', 'yaml'],
  [{ messages: [] }, 'messages', 'messages'],
  [{ messages: [{}] }, 'messages', 'messages[0]'],
  [{ messages: [{ role: 'user', content: 5 }] }, 'messages', 'messages[0].content'],
  [
    { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,' } }] }] },
    'messages',
    'image',
  ],
  [{ tool_choice: 'auto' }, 'tool_choice', 'tool'],
  [{ reasoning_effort: 'enormous' }, 'reasoning_effort', 'enormous'],
  [{ chat_template_kwargs: [] }, 'chat_template_kwargs', 'object'],
  [{ temperature: '0.5' }, 'temperature', "Invalid type for 'temperature': expected number, got string."],
];
const completionCases: Case[] = [
  [{ prompt: undefined }, 'prompt', 'prompt must be provided and non-empty.'],
  [{ prompt: '' }, 'prompt', 'prompt must be provided and non-empty.'],
  [{ prompt: [] }, 'prompt', 'prompt must be provided and non-empty.'],
  [{ prompt: ['a', ''] }, 'prompt', 'prompt must be provided and non-empty.'],
  [{ prompt: [9_999_999] }, 'prompt', 'out of vocabulary'],
  [{ max_tokens: -1 }, 'max_tokens', 'max_tokens must be at least 0, got -1.'],
  [{ logprobs: 21 }, 'logprobs', 'logprobs must be in [0, 20], got 21.'],
  [{ best_of: 2, n: 3 }, 'best_of', 'best_of'],
  [{ best_of: 2, stream: true }, 'best_of', 'best_of'],
];
const embeddingCases: Case[] = [
  [{ input: [] }, 'input', 'input'],
  [{ input: '' }, 'input', 'input'],
  [{ encoding_format: 'hex' }, 'encoding_format', 'hex'],
  [{ dimensions: 0 }, 'dimensions', '0'],
  [{ input: [9_999_999] }, 'input', 'check_embedding_ctx_length=False'],
];
const tables: [path: string, valid: object, cases: Case[]][] = [
  ['/chat/completions', hi, chatCases],
  ['/completions', { model: modelName, prompt: 'a' }, completionCases],
  ['/embeddings', { model: modelName, input: 'a' }, embeddingCases],
];

describe.each(tables)('%s', (path, valid, cases) => {
  it('refuses what is out of bounds in the words that clients look for', async () => {
    const { v1 } = await startStack(db.database);
    const wrong = [];
    for (const [body, param, words] of cases) {
      const response = await v1(path, { ...valid, ...body });
      const { error } = (await response.json()) as { error: { param: string | null; message: string } };
      const isRight = response.status === 400 && error.param?.startsWith(param) && error.message.includes(words);
      if (!isRight) wrong.push({ body, status: response.status, error });
    }
    expect(wrong).toEqual([]);
  });
});
