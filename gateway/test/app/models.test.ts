import { describe, expect, it } from 'vitest';
import { modelId, startStack, until } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();

describe('models', () => {
  it('are taken up from disk, loaded and deleted without touching the disk', async () => {
    const { api, fake } = await startStack(db.database);
    const made = await api('POST', '/models/import', { path: '/disk/My-Model.gguf', quantization: 'Q8' });
    expect([made.status, made.body.data]).toMatchObject([
      201,
      { id: 'My-Model', name: 'My-Model', status: 'ready', source: 'local', context_length: 2048, quantization: 'Q8' },
    ]);
    const twice = await api('POST', '/models/import', { path: '/disk/My-Model.gguf', name: 'my-model' });
    expect(twice.body.error).toMatchObject({ code: 'CONFLICT' });
    expect((await api('POST', '/models/My-Model/load')).status).toBe(202);
    await until(() => fake.state().model?.model_id === 'My-Model');
    expect((await api('DELETE', '/models/My-Model')).body.error).toMatchObject({ code: 'CONFLICT' });
    await api('POST', '/models/My-Model/unload');
    expect((await api('DELETE', '/models/My-Model')).body.data).toEqual({ model_id: 'My-Model', freed_bytes: 0 });
    expect(fake.hub.deleted).toEqual([]);
    expect((await api('GET', '/models/My-Model')).status).toBe(404);
  });

  it('stay when they are locked, on every path', async () => {
    const { api, v1, fake } = await startStack(db.database);
    await api('POST', '/models/import', { path: '/disk/other', name: 'other' });
    await api('POST', `/models/${modelId}/lock`);
    for (const [method, path] of [
      ['DELETE', `/models/${modelId}`],
      ['POST', `/models/${modelId}/unload`],
      ['POST', '/models/other/load'],
    ] as const) {
      expect([path, (await api(method, path)).body.error?.code]).toEqual([path, 'MODEL_LOCKED']);
    }
    const asked = await v1('/chat/completions', { model: 'other', messages: [{ role: 'user', content: 'hi' }] });
    expect([asked.status, await asked.json()]).toMatchObject([409, { error: { code: 'model_locked' } }]);
    expect(fake.state().model?.model_id).toBe(modelId);
  });

  it('stop loading when told to', async () => {
    const { api, fake } = await startStack(db.database);
    await api('POST', '/models/import', { path: '/disk/other', name: 'other' });
    expect((await api('POST', '/models/other/cancel')).body.error).toMatchObject({ code: 'CONFLICT' });
    fake.loadDelayMs = 600;
    await api('POST', '/models/other/load');
    await until(async () => ((await api('GET', '/models/other')).body.data as { status: string }).status === 'loading');
    expect((await api('DELETE', '/models/other')).body.error).toMatchObject({ code: 'CONFLICT' });
    expect((await api('POST', '/models/other/cancel')).status).toBe(200);
    await until(async () => ((await api('GET', '/models/other')).body.data as { status: string }).status === 'ready');
    await until(() => fake.state().model === null);
  });

  it.each(['cancel', 'unload'])('let go of a load that is under way at once: %s', async (call) => {
    const { api, fake } = await startStack(db.database);
    await api('POST', '/models/import', { path: '/disk/other', name: 'other' });
    fake.loadDelayMs = 60_000;
    await api('POST', '/models/other/load');
    const view = async () => (await api('GET', '/models/other')).body.data as { status: string; error: string | null };
    await until(async () => (await view()).status === 'loading');
    expect((await api('POST', `/models/other/${call}`)).status).toBe(200);
    await until(() => fake.state().loading_model_id === null);
    expect(await view()).toMatchObject({ status: 'ready', error: null });
    fake.loadDelayMs = 0;
    await api('POST', '/models/other/load');
    await until(async () => (await view()).status === 'loaded');
  });

  it('are shown before they are downloaded', async () => {
    const { api } = await startStack(db.database);
    const seen = await api('POST', '/models/preview', { repo_id: 'org/model' });
    expect(seen.body.data).toMatchObject({
      ...{ revision: 'c0ffee', gated: false, license: 'apache-2.0', requires_trust_remote_code: false },
      memory: [{ quantization: 'FP16', fits: true }],
    });
  });
});
