import { describe, expect, it, onTestFinished } from 'vitest';
import { startStack, until } from '../build-test-app.ts';
import type { TestStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { startFakeInference } from '../fake-inference.ts';

const db = useDatabase();

type Row = Record<string, unknown> & { id: string };
const data = async <T>({ api }: TestStack, path: string) => (await api('GET', path)).body.data as T;
const download = (stack: TestStack, repo_id: string, extra: object = {}) =>
  stack.api('POST', '/models', { repo_id, ...extra });
const model = (stack: TestStack, id: string) => data<Row>(stack, `/models/${id}`);
const only = async (stack: TestStack) => {
  const [row] = await data<Row[]>(stack, '/downloads');
  if (!row) throw new Error('There is no download.');
  return row;
};

describe('downloading a model', () => {
  it('shows progress, and then what was in it', async () => {
    const stack = await startStack(db.database);
    const started = await download(stack, 'org/slow-model', { quantization: 'Q8' });
    expect([started.status, started.body.data]).toMatchObject([202, { id: 'org--slow-model', status: 'downloading' }]);
    const { id } = await only(stack);
    await until(() => stack.fake.hub.downloads.get(id)?.state === 'running');
    stack.fake.hub.advance(id, 500_000);
    await until(async () => (await model(stack, 'org--slow-model'))['progress'] === 50);
    expect((await stack.api('POST', '/models/org--slow-model/load')).body.error).toMatchObject({ code: 'CONFLICT' });
    stack.fake.hub.finish(id);
    await until(async () => (await model(stack, 'org--slow-model'))['status'] === 'ready');
    expect(await model(stack, 'org--slow-model')).toMatchObject({
      ...{
        architecture: 'LlamaForCausalLM',
        size_bytes: 145_000_000,
        quantization: 'Q8',
        source: 'hub',
        progress: 100,
      },
    });
    expect(await only(stack)).toMatchObject({ state: 'done', progress: 100, revision: 'c0ffee' });
    expect((await stack.api('POST', '/models/org--slow-model/load')).status).toBe(202);
    await until(async () => (await model(stack, 'org--slow-model'))['status'] === 'loaded');
  });

  it('is one download however often it is asked for, and one copy for every quantization', async () => {
    const stack = await startStack(db.database);
    const asks = await Promise.all([1, 2, 3].map(() => download(stack, 'org/slow-model')));
    expect(asks.map(({ status }) => status)).toEqual([202, 202, 202]);
    expect(await data<Row[]>(stack, '/downloads')).toHaveLength(1);
    expect(await data<Row[]>(stack, '/models')).toHaveLength(2); // the manifest's and this one
    await until(() => [...stack.fake.hub.downloads.values()][0]?.state === 'running');
    stack.fake.hub.finish((await only(stack)).id);
    await until(async () => (await model(stack, 'org--slow-model'))['status'] === 'ready');
    expect((await download(stack, 'org/slow-model')).body.error).toMatchObject({ code: 'CONFLICT' });
    const other = await download(stack, 'org/slow-model', { quantization: 'Q4' });
    expect(other.body.data).toMatchObject({ name: 'org/slow-model:Q4', status: 'ready', progress: 100 });
    expect(await data<Row[]>(stack, '/downloads')).toHaveLength(1);
    // The files go with the last model that uses them.
    await stack.api('DELETE', '/models/org--slow-model');
    expect(stack.fake.hub.deleted).toEqual([]);
    const last = await stack.api('DELETE', '/models/org--slow-model:Q4');
    expect(last.body.data).toMatchObject({ freed_bytes: 1_000_000 });
    expect(stack.fake.hub.deleted).toEqual(['/cache/org--slow-model']);
    expect(await data<Row[]>(stack, '/downloads')).toEqual([]);
  });

  it('fails with a reason, and can be tried again', async () => {
    const stack = await startStack(db.database);
    await download(stack, 'org/failing-model');
    await until(async () => (await model(stack, 'org--failing-model'))['status'] === 'error');
    expect(await model(stack, 'org--failing-model')).toMatchObject({ error: 'The checksum does not match.' });
    const { id } = await only(stack);
    expect((await stack.api('POST', `/downloads/${id}/retry`)).status).toBe(202);
    await until(async () => (await only(stack))['state'] === 'failed');
    expect(await only(stack)).toMatchObject({ resumable: true, error: { code: 'DOWNLOAD_FAILED' } });
    expect((await stack.api('DELETE', '/models/org--failing-model')).status).toBe(200);
  });

  it('is cancelled for real, from either side, and resumed', async () => {
    const stack = await startStack(db.database);
    await download(stack, 'org/slow-model');
    const { id } = await only(stack);
    await until(() => stack.fake.hub.downloads.get(id)?.state === 'running');
    expect((await stack.api('POST', '/models/org--slow-model/cancel')).status).toBe(200);
    expect(stack.fake.hub.downloads.get(id)?.state).toBe('cancelled');
    expect(await model(stack, 'org--slow-model')).toMatchObject({
      status: 'error',
      error: 'The download was cancelled.',
    });
    expect((await stack.api('POST', `/downloads/${id}/cancel`)).body.error).toMatchObject({ code: 'CONFLICT' });
    expect((await download(stack, 'org/slow-model')).status).toBe(202);
    await until(() => stack.fake.hub.downloads.get(id)?.state === 'running');
    expect((await stack.api('POST', `/downloads/${id}/cancel`)).body.data).toMatchObject({ state: 'cancelled' });
  });

  it.each([
    ['model', '/models', { repo_id: 'org/slow-model' }, 'org--slow-model', '/cache/org--slow-model'],
    ['SAE', '/saes', { repo_id: 'org/slow-saes', path: 'l1' }, 'org--slow-saes--l1', '/cache/org--slow-saes/l1'],
  ])('frees the disk of what came of a %s, when it is deleted', async (_what, path, body, id, place) => {
    const stack = await startStack(db.database);
    await stack.api('POST', path, body);
    await until(async () => {
      const [download] = (await stack.api('GET', '/downloads')).body.data as { state: string }[];
      return download?.state === 'running';
    });
    await until(async () => (await db.database.client.download.findFirst())?.localPath === place);
    if (path === '/models') {
      stack.fake.hub.restart(); // the sidecar died: only we know the place now
      await until(async () => (await only(stack)).state === 'interrupted');
    }
    expect((await stack.api('DELETE', `${path}/${id}`)).body.data).toMatchObject({ freed_bytes: 1_000_000 });
    expect(stack.fake.hub.deleted).toEqual([place]);
    expect((await stack.api('GET', '/downloads')).body.data).toEqual([]);
  });

  it('passes a token on and keeps it nowhere', async () => {
    const stack = await startStack(db.database);
    expect((await download(stack, 'org/gated-model')).body.error).toMatchObject({ code: 'GATED_REPOSITORY' });
    expect(await data<Row[]>(stack, '/downloads')).toEqual([]);
    expect((await stack.api('GET', '/models/org--gated-model')).status).toBe(404);
    expect((await stack.api('POST', '/models/preview', { repo_id: 'org/gated-model' })).status).toBe(403);
    const token = 'hf_secret_of_this_call';
    const asks: [string, object][] = [
      ['/models', { repo_id: 'org/gated-model' }],
      ['/models/preview', { repo_id: 'org/gated-model' }],
      ['/saes', { repo_id: 'org/gated-saes', path: 'l1' }],
      ['/saes/preview', { repo_id: 'org/gated-saes' }],
      ['/models', { repo_id: 'org/failing-model' }],
    ];
    for (const [path, ask] of asks) {
      expect((await stack.api('POST', path, { ...ask, hf_token: token })).body.error).toBeNull();
      expect(stack.fake.hub.tokens.at(-1)).toBe(token);
    }
    const states = async () =>
      (await data<{ id: string; state: string }[]>(stack, '/downloads')).map(({ state }) => state);
    await until(async () => (await states()).sort().join() === 'done,done,failed');
    const failed = (await data<{ id: string; state: string }[]>(stack, '/downloads')).find(
      ({ state }) => state === 'failed',
    );
    expect((await stack.api('POST', `/downloads/${failed?.id}/retry`, { hf_token: token })).status).toBe(202);
    expect((await download(stack, 'org/x', { hf_token: `${token} ${'x'.repeat(600)}` })).status).toBe(422);
    const tables = await db.database.client.$queryRaw<{ name: string }[]>`
      SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'`;
    expect(tables.length).toBeGreaterThan(9);
    const rows = await Promise.all(
      tables.map(({ name }) => db.database.client.$queryRawUnsafe(`SELECT t::text AS row FROM "${name}" t`)),
    );
    const everything = JSON.stringify([rows, stack.logs]);
    expect(everything).toContain('org/gated-model');
    expect(everything).not.toContain(token);
  });

  it('of a model with code of its own is read with consent alone, which may come later', async () => {
    const stack = await startStack(db.database);
    expect((await download(stack, 'org/own-code')).status).toBe(202);
    await until(async () => (await model(stack, 'org--own-code'))['status'] === 'error');
    expect(await model(stack, 'org--own-code')).toMatchObject({
      trust_remote_code: false,
      error: expect.stringContaining('trust_remote_code') as string,
    });
    expect((await download(stack, 'org/own-code')).body.data).toMatchObject({ status: 'error' });
    const consent = { trust_remote_code: true };
    expect((await download(stack, 'org/own-code', consent)).body.data).toMatchObject({ status: 'ready', ...consent });
    expect(await data<Row[]>(stack, '/downloads')).toHaveLength(1);
  });

  it('refuses what is no repository, and one that the hub does not have', async () => {
    const stack = await startStack(db.database);
    for (const repo_id of ['name', '../etc/passwd', 'a/../b', 'a/b/c', 'a b/c']) {
      expect([repo_id, (await download(stack, repo_id)).status]).toEqual([repo_id, 422]);
    }
    expect((await download(stack, 'a/b', { revision: '../x' })).status).toBe(422);
    expect((await download(stack, 'org/missing')).body.error).toMatchObject({ code: 'DOWNLOAD_FAILED' });
    expect(await data<Row[]>(stack, '/models')).toHaveLength(1);
  });
});

describe('restarts', () => {
  it('of the sidecar interrupt a download, which is resumed on request', async () => {
    const stack = await startStack(db.database);
    await download(stack, 'org/slow-model');
    await until(async () => (await only(stack))['state'] === 'running');
    stack.fake.restart();
    await until(async () => (await only(stack))['state'] === 'interrupted');
    expect(await model(stack, 'org--slow-model')).toMatchObject({ status: 'error' });
    const { id } = await only(stack);
    await stack.api('POST', `/downloads/${id}/retry`);
    await until(() => stack.fake.hub.downloads.get(id)?.state === 'running');
    stack.fake.hub.finish(id);
    await until(async () => (await model(stack, 'org--slow-model'))['status'] === 'ready');
  });

  it('of the gateway lose nothing: what runs is followed, what ended meanwhile is taken up', async () => {
    const fake = await startFakeInference();
    onTestFinished(() => fake.close());
    const first = await startStack(db.database, { fake });
    await download(first, 'org/slow-model');
    const { id } = await only(first);
    await until(() => fake.hub.downloads.get(id)?.state === 'running');
    await first.app.close();
    fake.hub.finish(id);
    const second = await startStack(db.database, { fake });
    await until(async () => (await model(second, 'org--slow-model'))['status'] === 'ready');
    expect(await only(second)).toMatchObject({ state: 'done' });
  });
});
