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
