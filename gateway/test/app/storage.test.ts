import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { desiredRepository } from '../../src/desired.ts';
import { featureRepository } from '../../src/features/repository.ts';
import { migrationStatements } from '../../src/storage/migrate.ts';
import { startStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();

describe('storage', () => {
  it('keeps a history that Prisma can read', async () => {
    const rows = await db.database.client.$queryRaw<{ migration_name: string; checksum: string }[]>`
      SELECT migration_name, checksum FROM "_prisma_migrations" WHERE finished_at IS NOT NULL`;
    const folder = fileURLToPath(new URL('../../../prisma/migrations', import.meta.url));
    expect(rows.map(({ migration_name, checksum }) => ({ name: migration_name, checksum }))).toEqual(
      migrationStatements(folder).map(({ name, checksum }) => ({ name, checksum })),
    );
  });

  it('has a table column for everything in the schema', async () => {
    const { client } = db.database;
    const counts = await Promise.all([
      client.model.findMany(),
      client.sae.findMany(),
      client.featureLabel.findMany(),
      client.desiredState.findMany(),
      client.serverSetting.findMany(),
      client.profile.findMany({ include: { features: true } }),
      client.download.findMany(),
      client.requestLog.findMany(),
    ]);
    expect(counts.flat()).toEqual([]);
  });

  it('tells "never wanted anything" from "wants nothing"', async () => {
    const desired = desiredRepository(db.database.client);
    expect(await desired.read()).toBeNull();
    await desired.update({ modelId: null });
    expect(await desired.read()).toMatchObject({ modelId: null, saeIds: [], steering: null, steeringEnabled: true });
  });

  it('loads thousands of labels in a few seconds and finds them', async () => {
    await db.database.client.sae.create({ data: { id: 'big' } });
    const features = featureRepository(db.database.client);
    const rows = Array.from({ length: 4096 }, (_, index) => ({
      index,
      label: `label ${index} 100%_sure`,
      contexts: [
        { tokens: Array.from({ length: 20 }, () => 'word'), values: Array.from({ length: 20 }, () => 0.5), peak: 3 },
      ],
    }));
    const startedAt = performance.now();
    await features.replace('big', rows, 'hash');
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    expect((await features.labels('big')).get(4095)).toBe('label 4095 100%_sure');
    const found = await features.page('big', { search: '4095', skip: 0, limit: 10 });
    expect(found).toMatchObject({ total: 1, rows: [{ index: 4095 }] });
    expect((await features.page('big', { skip: 4090, limit: 10 })).rows).toHaveLength(6);
  });

  it('replaces labels as a whole or not at all', async () => {
    await db.database.client.sae.create({ data: { id: 's' } });
    const features = featureRepository(db.database.client);
    await features.replace('s', [{ index: 1, label: 'old' }], 'a');
    const twice = [
      { index: 2, label: 'x' },
      { index: 2, label: 'y' },
    ];
    await expect(features.replace('s', twice, 'b')).rejects.toThrow();
    expect(await features.find('s', 1)).toMatchObject({ label: 'old' });
  });
});

describe('the manifest', () => {
  function manifest(label: string): string {
    const folder = mkdtempSync(join(tmpdir(), 'millm-manifest-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    mkdirSync(join(folder, 'sae'));
    writeFileSync(join(folder, 'sae', 'labels.json'), JSON.stringify({ features: [{ index: 1, label }] }));
    const path = join(folder, 'bootstrap.json');
    writeFileSync(
      path,
      JSON.stringify({
        models: [{ repo_id: 'org/name', path: 'model.gguf', aliases: ['short'] }],
        saes: [{ id: 'mine', path: 'sae', model: 'org/name', labels: 'sae/labels.json' }],
        desired: { model: 'org/name', saes: ['mine'] },
      }),
    );
    return path;
  }

  it('resolves paths from its own folder and can be applied at every start', async () => {
    const path = manifest('first');
    for (let start = 0; start < 2; start += 1) {
      const { fake } = await startStack(db.database, { env: { MILLM_BOOTSTRAP: path } });
      expect(fake.state()).toMatchObject({
        model: { path: join(path, '..', 'model.gguf') },
        saes: [{ path: join(path, '..', 'sae') }],
      });
    }
    expect(await db.database.client.sae.count()).toBe(1);
  });

  it('reads labels again only when the file changed', async () => {
    const path = manifest('first');
    const first = await startStack(db.database, { env: { MILLM_BOOTSTRAP: path } });
    expect(first.logs.some((line) => line['event'] === 'labels:loaded')).toBe(true);
    const second = await startStack(db.database, { env: { MILLM_BOOTSTRAP: path } });
    expect(second.logs.some((line) => line['event'] === 'labels:loaded')).toBe(false);
    writeFileSync(
      join(path, '..', 'sae', 'labels.json'),
      JSON.stringify({ features: [{ index: 1, label: 'second' }] }),
    );
    const third = await startStack(db.database, { env: { MILLM_BOOTSTRAP: path } });
    expect((await third.api('GET', '/saes/mine/features/1')).body.data).toMatchObject({ label: 'second' });
  });

  it('keeps labels that were imported since, at every start and when its own change', async () => {
    const path = manifest('first');
    const start = () => startStack(db.database, { env: { MILLM_BOOTSTRAP: path } });
    const { url } = await start();
    const lines = '{"index":"1","description":"imported"}\n{"index":"7","description":"imported too"}';
    await fetch(`${url}/api/saes/mine/labels/import`, { method: 'POST', body: lines });
    const labels = async () => [...(await featureRepository(db.database.client).labels('mine'))];
    const imported = [
      [1, 'imported'],
      [7, 'imported too'],
    ];
    await start();
    expect(await labels()).toEqual(imported);
    const changed = { features: [1, 2].map((index) => ({ index, label: 'second' })) };
    writeFileSync(join(path, '..', 'sae', 'labels.json'), JSON.stringify(changed));
    await start();
    expect(await labels()).toEqual([imported[0], [2, 'second'], imported[1]]);
  });
});
