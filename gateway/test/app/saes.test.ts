import { describe, expect, it } from 'vitest';
import { modelId, modelName, startStack, until } from '../build-test-app.ts';
import type { TestStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();
const repo_id = 'example/smollm2-saes';
const saeId = (layer: number) => `example--smollm2-saes--layer_${layer}_residual`;
const sae = async ({ api }: TestStack, id: string) =>
  (await api('GET', `/saes/${id}`)).body.data as Record<string, unknown>;

async function get(stack: TestStack, layer: number): Promise<string> {
  const answer = await stack.api('POST', '/saes', { repo_id, path: `layer_${layer}_residual` });
  if (answer.status !== 202) throw new Error(JSON.stringify(answer.body.error));
  await until(async () => (await sae(stack, saeId(layer)))['status'] === 'ready');
  return saeId(layer);
}

describe('SAEs', () => {
  it('are seen in a repository, downloaded, and several attached at once', async () => {
    const stack = await startStack(db.database);
    const preview = await stack.api('POST', '/saes/preview', { repo_id });
    expect(preview.body.data).toMatchObject({
      saes: [
        { id: saeId(10), layer: 10 },
        { id: saeId(15), d_sae: 4096 },
      ],
    });
    const ids = [await get(stack, 10), await get(stack, 12)];
    expect(await sae(stack, saeId(10))).toMatchObject({
      ...{
        d_in: 576,
        d_sae: 4096,
        layer: 10,
        architecture: 'jumprelu',
        format: 'saelens',
        source: 'hub',
        attached: false,
      },
    });
    const attached = await Promise.all(ids.map((id) => stack.api('POST', `/saes/${id}/attach`)));
    expect(attached.map(({ status }) => status)).toEqual([200, 200]);
    expect(
      stack.fake
        .state()
        .saes.map((known) => known.sae_id)
        .sort(),
    ).toEqual([...ids, 'demo'].sort());
    // Unloading the model takes them off.
    await stack.api('POST', `/models/${modelId}/unload`);
    expect(await sae(stack, saeId(10))).toMatchObject({ attached: false });
  });

  it('move to another place only when told, and remember what only the sidecar knew', async () => {
    const stack = await startStack(db.database);
    await stack.api('POST', '/saes/demo/detach');
    expect(await sae(stack, 'demo')).toMatchObject({ attached: false, d_sae: 4096, d_in: 576, layer: 15 });
    expect((await stack.api('POST', '/saes/demo/attach', { layer: 3 })).body.data).toMatchObject({
      layer: 3,
      attached: true,
    });
    expect((await stack.api('POST', '/saes/demo/attach', { layer: 4 })).body.data).toMatchObject({
      layer: 4,
      attached: true,
    });
  });

  it('state the quality that their own files do, attached or not, and nothing where those do not', async () => {
    const stack = await startStack(db.database);
    const measured = { l0: 36.78, explained_variance: 0.8571, loss_recovered: 0.9707, dead_features: 16 };
    expect(await sae(stack, 'demo')).toMatchObject({ attached: true, quality: measured });
    await stack.api('POST', '/saes/demo/detach');
    expect(await sae(stack, 'demo')).toMatchObject({ attached: false, quality: measured });
    await Promise.all([10, 12].map((layer) => get(stack, layer)));
    expect(await sae(stack, saeId(10))).toMatchObject({
      attached: false,
      quality: { l0: 40, explained_variance: null, dead_features: 7, sources: ['cfg.json', 'sparsity.safetensors'] },
    });
    expect(await sae(stack, saeId(12))).toMatchObject({ quality: null });
  });

  it('bring the strengths that somebody measured to their features, attached or not', async () => {
    const stack = await startStack(db.database);
    const features = async (query: string) =>
      (await stack.api('GET', `/saes/demo/features${query}`)).body.data as {
        items: { index: number; suggested_strength: number | null }[];
        total: number;
      };
    const measured = async () => {
      const { items, total } = await features('?suggested=true');
      return [total, ...items.map(({ index, suggested_strength }) => [index, suggested_strength])];
    };
    expect(await measured()).toEqual([2, [40, 24], [13, 55]]);
    expect((await features('?search=13&limit=1')).items[0]).toMatchObject({ index: 13, suggested_strength: 55 });
    expect((await features('/40')) as unknown).toMatchObject({ suggested_strength: 24 });
    expect((await features('/41')) as unknown).toMatchObject({ suggested_strength: null });
    const named = await stack.api('PUT', '/saes/demo/features/13/label', { label: 'thirteen' });
    expect(named.body.data).toMatchObject({ label: 'thirteen', suggested_strength: 55 });
    await stack.api('POST', '/saes/demo/detach');
    expect(await measured()).toEqual([2, [40, 24], [13, 55]]);
  });

  it('are refused with every reason when they do not fit', async () => {
    const stack = await startStack(db.database);
    await db.database.client.sae.create({
      data: { id: 'wide', path: '/cache/wide', dIn: 2304, dSae: 16_384, layer: 20 },
    });
    await until(async () => (await stack.api('GET', '/saes/wide')).status === 200);
    const refused = await stack.api('POST', '/saes/wide/attach', { layer: 40 });
    expect([refused.status, refused.body.error?.code]).toEqual([409, 'SAE_INCOMPATIBLE']);
    expect(refused.body.error?.details['errors']).toHaveLength(2);
    const fits = await stack.api('GET', '/saes/wide/compatibility');
    expect(fits.body.data).toMatchObject({ compatible: false, errors: [expect.stringContaining('2304')] });
    expect((await stack.api('GET', '/saes/demo/compatibility?layer=3')).body.data).toMatchObject({ compatible: true });
    await stack.api('POST', `/models/${modelId}/unload`);
    expect((await stack.api('POST', '/saes/demo/attach')).body.error).toMatchObject({ code: 'MODEL_NOT_LOADED' });
  });

  it('are deleted with their labels and files, but not while attached', async () => {
    const stack = await startStack(db.database);
    const id = await get(stack, 10);
    await stack.api('PUT', `/saes/${id}/features/3/label`, { label: 'three' });
    await stack.api('POST', `/saes/${id}/attach`);
    expect((await stack.api('DELETE', `/saes/${id}`)).body.error).toMatchObject({ code: 'CONFLICT' });
    await stack.api('POST', `/saes/${id}/detach`);
    expect((await stack.api('DELETE', `/saes/${id}`)).body.data).toMatchObject({ freed_bytes: 1_000_000 });
    expect(stack.fake.hub.deleted).toEqual(['/cache/example--smollm2-saes/layer_10_residual']);
    expect(await db.database.client.featureLabel.count({ where: { saeId: id } })).toBe(0);
    expect((await stack.api('DELETE', '/saes/demo')).status).toBe(409);
  });

  it('are found in the registry of SAELens by their model, and downloaded by release and id', async () => {
    const stack = await startStack(db.database);
    const found = await stack.api('GET', '/saes/registry?search=SmolLM2%20layer_1&limit=1');
    expect(found.body.data).toMatchObject({ total: 2, skip: 0, limit: 1, items: [{ sae_id: 'layer_10' }] });
    const ask = { release: 'smollm2-135m-res', sae_id: 'layer_15' };
    const got = await stack.api('POST', '/saes', ask);
    expect([got.status, got.body.data]).toMatchObject([
      202,
      { id: 'org--smollm2-saes--layer_15_residual', repo_id: 'org/smollm2-saes', model: modelName },
    ]);
    expect((await stack.api('POST', '/saes', { release: ask.release })).body.error).toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { param: 'sae_id' },
    });
    expect((await stack.api('POST', '/saes', { ...ask, sae_id: 'layer_99' })).body.error).toMatchObject({
      code: 'SAE_NOT_FOUND',
      details: { release: ask.release, sae_id: 'layer_99' },
    });
  });

  it('are taken up from disk, and refused by name where they cannot be had', async () => {
    const stack = await startStack(db.database);
    const imported = await stack.api('POST', '/saes/import', { path: '/disk/layer_7', id: 'mine', hook: 'x' });
    expect([imported.status, imported.body.data]).toMatchObject([201, { id: 'mine', layer: 7, source: 'local' }]);
    expect((await stack.api('POST', '/saes/import', { path: '/disk/layer_7', id: 'mine' })).status).toBe(409);
    expect((await stack.api('POST', '/saes/import', { path: '/disk/broken' })).status).toBe(409);
    for (const path of ['../x', '/etc', 'a/../b', 'c:\\x']) {
      expect((await stack.api('POST', '/saes', { repo_id, path })).status).toBe(422);
    }
    expect((await stack.api('POST', '/saes', {})).status).toBe(422);
  });
});
