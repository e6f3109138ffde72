// The shapes of both surfaces: errors, methods, bodies, keys, browsers.
import { describe, expect, it } from 'vitest';
import { modelName, startStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();
const hi = { model: modelName, messages: [{ role: 'user', content: 'hi' }] };
interface ErrorAnswer {
  error: { message: string; type: string; param: string | null; code: string };
}

describe('/v1 errors', () => {
  const cases: [string, unknown, number, string, string | null][] = [
    ['broken JSON', '{"model":', 400, 'invalid_json', null],
    ['an empty body', '', 400, 'invalid_json', null],
    ['an array', '[1]', 400, 'invalid_json', null],
    ['null', 'null', 400, 'invalid_json', null],
    ['no model', { messages: hi.messages }, 400, 'missing_required_parameter', 'model'],
    ['no messages', { model: modelName }, 400, 'missing_required_parameter', 'messages'],
    ['no message at all', { ...hi, messages: [] }, 400, 'invalid_value', 'messages'],
    ['messages as text', { ...hi, messages: 'hi' }, 400, 'invalid_type', 'messages'],
    ['an empty message', { ...hi, messages: [{}] }, 400, 'missing_required_parameter', 'messages[0].role'],
    [
      'content of a wrong type',
      { ...hi, messages: [{ role: 'user', content: 5 }] },
      400,
      'invalid_type',
      'messages[0].content',
    ],
    ['no content', { ...hi, messages: [{ role: 'user' }] }, 400, 'missing_required_parameter', 'messages[0].content'],
    [
      'a tool answer without id',
      { ...hi, messages: [{ role: 'tool', content: 'x' }] },
      400,
      'missing_required_parameter',
      'messages[0].tool_call_id',
    ],
    [
      'an image',
      { ...hi, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] },
      400,
      'unsupported_value',
      'messages[0].content[0]',
    ],
    ['text as a number', { ...hi, temperature: '0.5' }, 400, 'invalid_type', 'temperature'],
    ['a fraction as an integer', { ...hi, max_tokens: 1.5 }, 400, 'invalid_type', 'max_tokens'],
    ['a temperature out of range', { ...hi, temperature: 2.5 }, 400, 'invalid_value', 'temperature'],
    ['top_p 0', { ...hi, top_p: 0 }, 400, 'invalid_value', 'top_p'],
    ['n 0', { ...hi, n: 0 }, 400, 'invalid_value', 'n'],
    ['n above the cap', { ...hi, n: 129 }, 400, 'invalid_value', 'n'],
    ['max_tokens 0', { ...hi, max_tokens: 0 }, 400, 'invalid_value', 'max_tokens'],
    ['an empty stop', { ...hi, stop: ['a', ''] }, 400, 'invalid_value', 'stop[1]'],
    ['too many stops', { ...hi, stop: Array.from({ length: 33 }, String) }, 400, 'invalid_value', 'stop'],
    ['top_logprobs alone', { ...hi, top_logprobs: 2 }, 400, 'invalid_value', 'top_logprobs'],
    ['top_logprobs 21', { ...hi, logprobs: true, top_logprobs: 21 }, 400, 'invalid_value', 'top_logprobs'],
    [
      'stream options without a stream',
      { ...hi, stream_options: { include_usage: true } },
      400,
      'invalid_value',
      'stream_options',
    ],
    ['logit_bias keys', { ...hi, logit_bias: { x: 1, y: 2 } }, 400, 'invalid_value', 'logit_bias'],
    ['logit_bias values', { ...hi, logit_bias: { '5': 101 } }, 400, 'invalid_value', 'logit_bias'],
    ['logit_bias outside the vocabulary', { ...hi, logit_bias: { '49152': 1 } }, 400, 'invalid_value', 'logit_bias'],
    ['no tools', { ...hi, tools: [] }, 400, 'invalid_value', 'tools'],
    ['functions', { ...hi, functions: [] }, 400, 'unsupported_parameter', 'functions'],
    ['min_tokens above max_tokens', { ...hi, max_tokens: 2, min_tokens: 3 }, 400, 'invalid_value', 'min_tokens'],
    [
      'two assistants at the end',
      {
        ...hi,
        messages: [
          { role: 'assistant', content: 'a' },
          { role: 'assistant', content: 'b' },
        ],
      },
      400,
      'invalid_value',
      'messages[1]',
    ],
    ['an unknown model', { ...hi, model: 'nope' }, 404, 'model_not_found', 'model'],
    [
      'a strength out of range',
      { ...hi, steering: { features: [{ index: 1, strength: 301 }] } },
      400,
      'invalid_value',
      'steering.features[0].strength',
    ],
    [
      'a strength that is a flag',
      { ...hi, steering: { features: [{ index: 1, strength: true }] } },
      400,
      'invalid_type',
      'steering.features[0].strength',
    ],
    [
      'an unknown operation',
      { ...hi, steering: { features: [{ index: 1, op: 'boost', strength: 1 }] } },
      400,
      'invalid_value',
      'steering.features[0].op',
    ],
    ['a bad intensity', { ...hi, steering: { intensity: 3 } }, 400, 'invalid_value', 'steering.intensity'],
    [
      'two intensities',
      { ...hi, steering_intensity: 1, steering: { intensity: 0.5 } },
      400,
      'invalid_value',
      'steering_intensity',
    ],
    [
      'an index out of range',
      { ...hi, steering: { features: [{ index: 4096, strength: 1 }] } },
      400,
      'invalid_feature_index',
      'steering.features[0].index',
    ],
    [
      'a watched index out of range',
      { ...hi, activations: { features: [1, 4096] } },
      400,
      'invalid_feature_index',
      'activations.features[1]',
    ],
    ['activations of nothing', { ...hi, activations: {} }, 400, 'missing_required_parameter', 'activations.top_k'],
    [
      'an SAE that is not attached',
      { ...hi, steering: { sae_id: 'x', features: [{ index: 1, strength: 1 }] } },
      400,
      'sae_not_attached',
      'steering.features[0].sae_id',
    ],
    ['an unknown profile', { ...hi, profile: 'nobody' }, 404, 'profile_not_found', 'profile'],
  ];

  it('names the field, the code and the status of every bad request', async () => {
    const { v1, fake } = await startStack(db.database);
    for (const [name, body, status, code, param] of cases) {
      const response = await v1('/chat/completions', body);
      expect(response.headers.get('content-type'), name).toBe('application/json; charset=utf-8');
      const answer = (await response.json()) as ErrorAnswer;
      expect({ status: response.status, ...answer.error }, name).toEqual({
        status,
        message: expect.any(String),
        type: 'invalid_request_error',
        param,
        code,
      });
    }
    expect(fake.requests).toHaveLength(0);
  });

  it('words type and range errors the same everywhere', async () => {
    const { v1 } = await startStack(db.database);
    const message = async (extra: object) =>
      ((await (await v1('/chat/completions', { ...hi, ...extra })).json()) as ErrorAnswer).error.message;
    expect(await message({ temperature: 'hot' })).toBe("Invalid type for 'temperature': expected number, got string.");
    expect(await message({ stop: 5 })).toBe("Invalid type for 'stop': expected string or array, got number.");
    expect(await message({ temperature: 3 })).toBe('temperature must be in [0, 2], got 3.');
    expect(await message({ top_k: -2 })).toBe('top_k must be -1 or 0 (off) or at least 1, got -2.');
    expect(await message({ logit_bias: { '50000': 1 } })).toBe(
      'Token id 50000 is out of vocabulary (vocabulary size 49152).',
    );
  });

  it('takes null for "not set" in every optional field', async () => {
    const { v1 } = await startStack(db.database);
    const optional = ['temperature', 'top_p', 'top_k', 'n', 'stop', 'seed', 'stream', 'stream_options', 'logit_bias',
      'max_tokens', 'max_completion_tokens', 'logprobs', 'top_logprobs', 'tools', 'tool_choice', 'response_format',
      'steering', 'profile', 'activations', 'user', 'functions', 'chat_template', 'reasoning_effort']; // prettier-ignore
    const nulls = Object.fromEntries(optional.map((name) => [name, null]));
    expect((await v1('/chat/completions', { ...hi, ...nulls })).status).toBe(200);
  });

  it('answers unknown paths, wrong methods, types and sizes in its own shape', async () => {
    const { url } = await startStack(db.database, { env: { MILLM_BODY_LIMIT_BYTES: '2000' } });
    const ask = async (path: string, init: RequestInit) => {
      const response = await fetch(url + path, init);
      const { error } = (await response.json()) as ErrorAnswer;
      return [response.status, error.code, response.headers.get('allow')];
    };
    const json = { 'content-type': 'application/json' };
    expect(await ask('/v1/nope', {})).toEqual([404, 'unknown_url', null]);
    expect(await ask('/v1/nope/deeper', { method: 'POST' })).toEqual([404, 'unknown_url', null]);
    expect(await ask('/v1/chat/completions', {})).toEqual([405, 'method_not_allowed', 'POST']);
    expect(await ask('/v1/models', { method: 'DELETE' })).toEqual([405, 'method_not_allowed', 'GET, HEAD']);
    expect(
      await ask('/v1/chat/completions', { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } }),
    ).toEqual([415, 'unsupported_media_type', null]);
    expect(await ask('/v1/chat/completions', { method: 'POST', body: `"${'x'.repeat(3000)}"`, headers: json })).toEqual(
      [413, 'request_too_large', null],
    );
  });

  it('puts a request id on every answer', async () => {
    const { url, v1 } = await startStack(db.database);
    const given = { 'x-request-id': 'abc-1' };
    expect((await fetch(`${url}/v1/models`, { headers: given })).headers.get('x-request-id')).toBe('abc-1');
    expect((await fetch(`${url}/v1/nope`, { headers: given })).headers.get('x-request-id')).toBe('abc-1');
    expect((await v1('/chat/completions', '{', given)).headers.get('x-request-id')).toBe('abc-1');
    expect(
      (await fetch(`${url}/v1/models`, { headers: { 'x-request-id': 'a b' } })).headers.get('x-request-id'),
    ).toMatch(/^req-/);
  });
});

describe('/v1/models', () => {
  it('lists what can be loaded, and finds one by its id with or without encoded slashes', async () => {
    const { openai, url } = await startStack(db.database);
    const list = await openai.models.list();
    expect(list.data.map(({ id }) => id)).toEqual([modelName]);
    expect(list.data[0]).toMatchObject({ object: 'model', owned_by: 'HuggingFaceTB', created: expect.any(Number) });
    expect((await openai.models.retrieve(modelName)).id).toBe(modelName);
    const plain = await fetch(`${url}/v1/models/${modelName}`);
    expect(await plain.json()).toMatchObject({ id: modelName, status: { value: 'loaded' }, max_model_len: 2048 });
    await expect(openai.models.retrieve('no/such')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });
});

describe('keys', () => {
  it('guards /v1 but not the model listing', async () => {
    const { v1, url } = await startStack(db.database, { env: { MILLM_API_KEYS: 'one two' } });
    expect((await fetch(`${url}/v1/models`)).status).toBe(200);
    const refused = await v1('/chat/completions', hi);
    expect(refused.status).toBe(401);
    expect(((await refused.json()) as ErrorAnswer).error.code).toBe('invalid_api_key');
    expect((await v1('/chat/completions', hi, { authorization: 'Bearer three' })).status).toBe(401);
    expect((await v1('/chat/completions', hi, { authorization: 'bearer two' })).status).toBe(200);
    expect((await v1('/chat/completions', hi, { 'x-api-key': 'one' })).status).toBe(200);
  });

  it('can guard the listing too, and accepts anything when there are none', async () => {
    const guarded = await startStack(db.database, { env: { MILLM_API_KEYS: 'one', MILLM_GUARD_MODELS: '1' } });
    expect((await fetch(`${guarded.url}/v1/models`)).status).toBe(401);
    const open = await startStack(db.database);
    expect((await open.v1('/chat/completions', hi, { authorization: 'Bearer ' })).status).toBe(200);
  });
});

describe('browsers', () => {
  const preflight = {
    method: 'OPTIONS',
    headers: {
      origin: 'app://obsidian.md',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,x-stainless-lang,x-anything',
    },
  };

  it('answers the preflight without a key and reflects the headers asked for', async () => {
    const { url } = await startStack(db.database, { env: { MILLM_API_KEYS: 'one' } });
    const response = await fetch(`${url}/v1/chat/completions`, preflight);
    expect(response.status).toBe(204);
    expect(response.headers.get('access-control-allow-headers')).toBe('authorization,x-stainless-lang,x-anything');
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
  });

  it('sets the headers on errors too, and only for origins that are allowed', async () => {
    const { url } = await startStack(db.database, { env: { MILLM_CORS_ORIGINS: 'app://* http://localhost:3000' } });
    const from = async (origin: string, path = '/v1/nope') =>
      (await fetch(url + path, { headers: { origin } })).headers.get('access-control-allow-origin');
    expect(await from('app://obsidian.md')).toBe('app://obsidian.md');
    expect(await from('http://localhost:3000', '/v1/models')).toBe('http://localhost:3000');
    expect(await from('http://evil.example')).toBeNull();
  });
});

describe('/api errors', () => {
  it('wraps every failure in the envelope', async () => {
    const { api } = await startStack(db.database);
    const missing = await api('GET', '/models/nope');
    expect(missing).toMatchObject({
      status: 404,
      body: { success: false, data: null, error: { code: 'MODEL_NOT_FOUND' } },
    });
    expect(await api('GET', '/saes/nope')).toMatchObject({ status: 404, body: { error: { code: 'SAE_NOT_FOUND' } } });
    expect(await api('GET', '/nope')).toMatchObject({ status: 404, body: { error: { code: 'NOT_FOUND' } } });
    expect(await api('DELETE', '/models')).toMatchObject({
      status: 405,
      body: { error: { code: 'METHOD_NOT_ALLOWED' } },
    });
    const bad = await api('PUT', '/steering', { features: [{ index: -1, strength: 1 }] });
    expect(bad).toMatchObject({
      status: 422,
      body: { error: { code: 'VALIDATION_ERROR', details: { errors: [{ path: 'features.0.index' }] } } },
    });
    expect(await api('GET', '/saes/demo/features?limit=9999')).toMatchObject({ status: 422 });
  });
});

describe('the dashboard and the documentation', () => {
  it('serves a page on every path that is not an API', async () => {
    const { url } = await startStack(db.database, { env: { MILLM_WEB_DIR: '/nonexistent' } });
    const page = await fetch(`${url}/playground`);
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toContain('text/html');
    expect((await fetch(`${url}/missing.js`)).status).toBe(404);
  });

  it('describes itself', async () => {
    const { url } = await startStack(db.database);
    const document = (await (await fetch(`${url}/api/openapi.json`)).json()) as { paths: object };
    expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/v1/chat/completions', '/api/steering']));
    expect((await fetch(`${url}/api/docs`)).status).toBe(200);
  });
});
