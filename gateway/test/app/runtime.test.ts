// The sidecar comes and goes; the desired state stays.
import { describe, expect, it, onTestFinished } from 'vitest';
import { modelId, modelName, startStack, until } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { startFakeInference } from '../fake-inference.ts';

const db = useDatabase();
const hi = { model: modelName, messages: [{ role: 'user' as const, content: 'hi' }] };
const steered = { ...hi, steering: { features: [{ index: 7, strength: 5 }] } };

describe('the desired state', () => {
  it('is what the manifest says at first: model loaded, SAE attached, labels known', async () => {
    const { api } = await startStack(db.database);
    expect((await api('GET', '/models')).body.data).toMatchObject([{ id: modelId, name: modelName, status: 'loaded' }]);
    expect((await api('GET', '/saes')).body.data).toMatchObject([
      { id: 'demo', attached: true, d_sae: 4096, model: modelName },
    ]);
    expect((await api('GET', '/saes/demo/features?search=calm&limit=2')).body.data).toMatchObject({
      total: 16,
      skip: 0,
      limit: 2,
      items: [{ index: 3, label: 'feature 3 about calm' }, { index: 7 }],
    });
    expect((await api('GET', '/saes/demo/features/3')).body.data).toMatchObject({
      index: 3,
      max_activation: 12.5,
      contexts: [{ peak: 1 }],
      promoted: [{ token: ' sea' }],
      suppressed: [{ token: ' land' }],
      nearest: [{ index: 4, label: 'feature 4 about the sea' }],
    });
  });

  it('is the last thing somebody asked for, not the manifest, after a restart', async () => {
    const first = await startStack(db.database);
    await first.api('POST', '/saes/demo/detach');
    const second = await startStack(db.database);
    expect((await second.api('GET', '/saes/demo')).body.data).toMatchObject({ attached: false });
  });

  it('is restored when the sidecar restarts, and the next request just works', async () => {
    const { v1, fake } = await startStack(db.database);
    fake.restart();
    const response = await v1('/chat/completions', steered);
    expect(response.status).toBe(200);
    expect(response.headers.get('x-millm-steering')).not.toBe('none');
    expect(fake.state()).toMatchObject({ model: { model_id: modelId }, saes: [{ sae_id: 'demo' }] });
  });
});

describe('without a sidecar', () => {
  it('answers 503 with Retry-After, stays up, and recovers when it is back', async () => {
    const fake = await startFakeInference();
    const { v1, url, api, openai } = await startStack(db.database, { fake });
    await fake.close();
    const response = await v1('/chat/completions', hi);
    expect([response.status, await response.json()]).toMatchObject([503, { error: { code: 'sidecar_unavailable' } }]);
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
    await until(
      async () => ((await (await fetch(`${url}/api/health`)).json()) as { status: string }).status === 'degraded',
    );
    expect((await fetch(`${url}/api/health/live`)).status).toBe(200);
    expect((await fetch(`${url}/api/health/ready`)).status).toBe(503);
    expect((await api('GET', '/models')).status).toBe(200);

    const back = await startFakeInference(fake.port);
    onTestFinished(() => back.close());
    await until(async () => (await fetch(`${url}/api/health/ready`)).ok);
    expect((await openai.chat.completions.create(hi)).choices).toHaveLength(1);
  });

  it('starts anyway', async () => {
    const { v1, url } = await startStack(db.database, {
      env: { INFERENCE_URL: 'http://127.0.0.1:9', MILLM_MODEL_WAIT_S: '0.2' },
      waitUntilReady: false,
    });
    expect((await fetch(`${url}/api/health`)).status).toBe(200);
    expect((await v1('/chat/completions', hi)).status).toBe(503);
  });
});

describe('loading', () => {
  it('lets a request wait for the model', async () => {
    const fake = await startFakeInference();
    onTestFinished(() => fake.close());
    fake.loadDelayMs = 300;
    const { v1 } = await startStack(db.database, { fake, waitUntilReady: false });
    expect((await v1('/chat/completions', steered)).status).toBe(200);
  });

  it('says model_loading after a bounded wait', async () => {
    const fake = await startFakeInference();
    onTestFinished(() => fake.close());
    fake.loadDelayMs = 2_000;
    const { v1, api } = await startStack(db.database, {
      fake,
      waitUntilReady: false,
      env: { MILLM_MODEL_WAIT_S: '0.1' },
    });
    await until(() => fake.state().loading_model_id !== null);
    const response = await v1('/chat/completions', hi);
    expect([response.status, await response.json()]).toMatchObject([503, { error: { code: 'model_loading' } }]);
    expect(response.headers.get('retry-after')).toBe('5');
    expect((await api('GET', `/models/${modelId}`)).body.data).toMatchObject({ status: 'loading' });
  });

  async function addModel(name: string, path = 'other-model'): Promise<void> {
    await db.database.client.model.create({
      data: { id: name.replaceAll('/', '--'), name, repoId: name, path, aliases: [] },
    });
  }

  it('loads the model a request names, once for many requests', async () => {
    const { openai, fake } = await startStack(db.database);
    await addModel('org/other');
    await new Promise((resolve) => setTimeout(resolve, 1_050)); // the catalogue is cached for a second
    fake.calls.length = 0;
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => openai.chat.completions.create({ ...hi, model: 'org/other' })),
    );
    expect(answers).toHaveLength(5);
    expect(fake.calls.filter((call) => call === 'POST /models/load')).toHaveLength(1);
    expect(fake.state()).toMatchObject({ model: { model_id: 'org--other' }, saes: [] });
  });

  it('keeps a locked model, and says so', async () => {
    await addModel('org/other');
    const { openai, api } = await startStack(db.database);
    await api('POST', `/models/${modelId}/lock`);
    await expect(openai.chat.completions.create({ ...hi, model: 'org/other' })).rejects.toMatchObject({
      status: 409,
      code: 'model_locked',
    });
    expect((await api('POST', '/models/org--other/load')).body.error).toMatchObject({ code: 'MODEL_LOCKED' });
    await api('POST', `/models/${modelId}/unlock`);
    expect((await api('POST', '/models/org--other/load')).status).toBe(202);
    await until(
      async () => ((await api('GET', '/models/org--other')).body.data as { status: string }).status === 'loaded',
    );
  });

  it('unloads, and loads again when asked', async () => {
    const { api, fake } = await startStack(db.database);
    expect((await api('POST', `/models/${modelId}/unload`)).body.data).toMatchObject({ status: 'ready' });
    expect(fake.state().model).toBeNull();
    expect((await api('POST', `/models/${modelId}/load`)).status).toBe(202);
    await until(() => fake.state().saes.length === 1);
  });

  it('reports a model that cannot be loaded', async () => {
    await addModel('org/broken', 'broken-model');
    const { api, openai } = await startStack(db.database);
    await api('POST', '/models/org--broken/load');
    await until(
      async () => ((await api('GET', '/models/org--broken')).body.data as { status: string }).status === 'error',
    );
    expect((await api('GET', '/models/org--broken')).body.data).toMatchObject({
      error: 'The fake cannot load this model.',
    });
    await expect(openai.chat.completions.create({ ...hi, model: 'org/broken' })).rejects.toMatchObject({
      status: 409,
      code: 'model_incompatible',
    });
  });
});

describe('attaching', () => {
  it('detaches and attaches, at another layer when asked', async () => {
    const { api } = await startStack(db.database);
    expect((await api('POST', '/saes/demo/detach')).body.data).toMatchObject({ attached: false, status: 'ready' });
    expect((await api('POST', '/saes/demo/detach')).body.error).toMatchObject({ code: 'SAE_NOT_ATTACHED' });
    expect((await api('POST', '/saes/demo/attach', { layer: 12 })).body.data).toMatchObject({
      attached: true,
      layer: 12,
    });
    expect((await api('POST', '/saes/demo/attach')).status).toBe(200);
  });

  it('passes on why an SAE does not fit, and does not try again forever', async () => {
    await db.database.client.sae.create({ data: { id: 'odd', path: 'broken-sae' } });
    const { api, fake } = await startStack(db.database);
    expect(await api('POST', '/saes/odd/attach')).toMatchObject({
      status: 409,
      body: { error: { code: 'SAE_INCOMPATIBLE' } },
    });
    expect(fake.state().saes.map(({ sae_id }) => sae_id)).toEqual(['demo']);
    expect((await api('GET', '/saes/odd')).body.data).toMatchObject({ attached: false });
  });
});

describe('activations without generating', () => {
  it('reads a text or a conversation', async () => {
    const { api } = await startStack(db.database);
    const read = await api('POST', '/activations', { text: 'the sea', features: [3] });
    expect(read.body.data).toMatchObject({
      sae_id: 'demo',
      tokens: [
        { token: 'the', features: [{ index: 3, value: 1.5, label: 'feature 3 about calm' }] },
        { token: ' sea' },
      ],
    });
    expect((await api('POST', '/activations', { messages: hi.messages })).status).toBe(200);
    expect((await api('POST', '/activations', {})).status).toBe(422);
    expect((await api('POST', '/activations', { text: 'x', features: [4096] })).body.error).toMatchObject({
      code: 'INVALID_FEATURE_INDEX',
    });
  });

  it('tells two sets of texts apart', async () => {
    const { api } = await startStack(db.database);
    const answer = await api('POST', '/activations/contrast', { a: ['the sea', hi.messages], b: ['the land'] });
    expect(answer.body.data).toMatchObject({
      texts_a: 2,
      texts_b: 1,
      features: [{ index: 1, label: 'feature 1 about numbers', auroc: 0.95 }, {}, {}, {}, {}],
    });
  });
});

describe('system', () => {
  it('shows memory, queue and counters', async () => {
    const { api } = await startStack(db.database);
    expect((await api('GET', '/system')).body.data).toMatchObject({
      device: 'cpu',
      queue: { slots_total: 16 },
      memory: { kv_bytes: 1e8 },
    });
  });
});
