import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startStack } from '../build-test-app.ts';
import type { TestStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { zipOf } from '../fake/zip.ts';
import { profileWorld, saeId } from '../profiles-world.ts';

const db = useDatabase();

async function upload({ url }: TestStack, bytes: Buffer | string, type = 'application/octet-stream', id = 'demo') {
  const body = typeof bytes === 'string' ? bytes : new Uint8Array(bytes);
  const response = await fetch(`${url}/api/saes/${id}/labels/import`, {
    method: 'POST',
    body,
    headers: { 'content-type': type },
  });
  const answer = (await response.json()) as { data: Record<string, unknown>; error: { message: string } | null };
  return { status: response.status, ...answer };
}

const label = async ({ api }: TestStack, index: number) =>
  ((await api('GET', `/saes/demo/features/${index}`)).body.data as { label: string }).label;
const search = async ({ api }: TestStack, words: string, query = '') => {
  const answer = await api('GET', `/saes/demo/features?search=${encodeURIComponent(words)}${query}`);
  return answer.body.data as { items: { index: number; label: string }[]; total: number };
};

const rows = [
  { modelId: 'smollm2', layer: '15-res', index: '20', description: 'jokes about ducks' },
  { modelId: 'smollm2', layer: '15-res', index: 21, description: 'ship names' },
];
const lines = rows.map((row) => JSON.stringify(row)).join('\n');

describe('labels', () => {
  it('are read from Neuronpedia lines, packed or not', async () => {
    const stack = await startStack(db.database);
    expect(await upload(stack, lines)).toMatchObject({
      status: 200,
      data: { format: 'neuronpedia', imported: 2, kept: 0 },
    });
    expect(await label(stack, 20)).toBe('jokes about ducks');
    const changed = gzipSync(lines.replace('ducks', 'geese'));
    expect(await upload(stack, changed, 'application/gzip')).toMatchObject({ data: { imported: 2 } });
    expect(await label(stack, 20)).toBe('jokes about geese');
  });

  it('are read from a Neuronpedia ZIP of the same SAE, and no other', async () => {
    const stack = await startStack(db.database);
    const files = (d_sae: number) => ({
      'metadata.json': JSON.stringify({ d_sae, d_model: 576 }),
      'features/30.json': JSON.stringify({
        feature_index: 30,
        statistics: { max_activation: 4.5, activation_frequency: 0.01 },
      }),
      'explanations/explanations.json': JSON.stringify({
        explanations: [
          {
            feature_index: 30,
            explanations: [
              { description: 'worse', score: 0.2 },
              { description: 'better', score: 0.9 },
            ],
          },
        ],
      }),
      'saelens/cfg.json': 'never read',
    });
    expect(await upload(stack, zipOf(files(4096)))).toMatchObject({
      status: 200,
      data: { format: 'neuronpedia-zip', imported: 1 },
    });
    expect((await stack.api('GET', '/saes/demo/features/30')).body.data).toMatchObject({
      label: 'better',
      max_activation: 4.5,
      density: 0.01,
    });
    expect(await upload(stack, zipOf(files(16_384)))).toMatchObject({ status: 422 });
    expect(await upload(stack, zipOf({ ...files(4096), '../evil.json': '{}' }))).toMatchObject({ status: 422 });
    expect(await upload(stack, zipOf(files(4096)).subarray(0, 100))).toMatchObject({ status: 422 });
  });

  it('are read from answers of a miStudio server and from a profile', async () => {
    const stack = await profileWorld(db.database);
    await stack.api('POST', '/saes/demo/attach');
    const answer = {
      sae_id: 's',
      n_features: 4096,
      features: [{ feature_idx: 40, label: 'verbs', max_activation: 3 }],
      pagination: {},
    };
    expect(await upload(stack, JSON.stringify(answer), 'application/json')).toMatchObject({
      data: { format: 'mistudio', imported: 1 },
    });
    expect(await upload(stack, JSON.stringify({ ...answer, n_features: 8192 }))).toMatchObject({ status: 422 });
    const extraction = { features: [{ neuron_index: 41, name: 'nouns', activation_frequency: 0.2 }], total: 1 };
    expect(await upload(stack, JSON.stringify(extraction))).toMatchObject({ data: { imported: 1 } });
    expect([await label(stack, 40), await label(stack, 41)]).toEqual(['verbs', 'nouns']);
    const { profile } = await stack.importSample('cluster.json');
    const own = await stack.api('POST', `/saes/${saeId(15)}/labels/import?profile=${profile?.id}`);
    expect(own.body.data).toMatchObject({ format: 'profile', imported: 3 });
  });

  it('are fetched from a miStudio server, every page of an SAE or of an extraction', async () => {
    const stack = await startStack(db.database);
    const asked: string[] = [];
    const server = createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://mistudio');
      asked.push(request.url ?? '');
      const of = (key: string, from: number, count: number) =>
        Array.from({ length: count }, (_, n) => ({
          [key]: from + n,
          label: `verb ${from + n}`,
          name: `noun ${from + n}`,
        }));
      const [skip, offset, limit] = ['skip', 'offset', 'limit'].map((name) => Number(searchParams.get(name)));
      const answers: Record<string, unknown> = {
        '/api/v1/saes/mine/features': {
          ...{
            sae_id: 'mine',
            n_features: 4096,
            pagination: { skip, limit, total: 2500, has_more: (skip ?? 0) + 1000 < 2500 },
          },
          features: of('feature_idx', skip ?? 0, Math.min(1000, 2500 - (skip ?? 0))),
        },
        '/api/v1/extractions/e/features': {
          ...{ total: 130, limit, offset, statistics: {} },
          features: of('neuron_index', 3000 + (offset ?? 0), Math.min(100, 130 - (offset ?? 0))),
        },
        '/api/v1/saes/other/features': { n_features: 9, features: [], pagination: { has_more: false } },
        '/api/v1/saes/odd/features': { detail: 'no' },
      };
      const found = answers[pathname];
      response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(found ?? {}));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => void server.close());
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const pull = (from: string) => stack.api('POST', `/saes/demo/labels/import?from=${encodeURIComponent(from)}`);
    expect((await pull(`${base}/api/v1/saes/mine/features`)).body.data).toEqual({
      ...{ format: 'mistudio', imported: 2500, kept: 0, skipped: 0 },
    });
    expect(asked).toEqual([0, 1000, 2000].map((skip) => `/api/v1/saes/mine/features?skip=${skip}&limit=1000`));
    expect((await pull(`${base}/api/v1/extractions/e/features`)).body.data).toMatchObject({ imported: 130 });
    expect([await label(stack, 2499), await label(stack, 3129)]).toEqual(['verb 2499', 'noun 3129']);
    const refused = async (from: string) => (await pull(from)).body.error?.code;
    expect(await refused(`${base}/api/v1/saes/other/features`)).toBe('VALIDATION_ERROR'); // made for another SAE
    expect(await refused(`${base}/api/v1/saes/odd/features`)).toBe('DOWNLOAD_FAILED');
    expect(await refused(`${base}/api/v1/saes/absent/features`)).toBe('DOWNLOAD_FAILED');
    expect(await refused('http://127.0.0.1:9/api/v1/saes/mine/features')).toBe('DOWNLOAD_FAILED');
    for (const odd of [`${base}/secrets`, 'file:///api/v1/saes/mine/features', 'no address']) {
      expect([odd, await refused(odd)]).toEqual([odd, 'VALIDATION_ERROR']);
    }
  });

  it('typed by hand are never overwritten, and everything is given back and taken again', async () => {
    const stack = await startStack(db.database);
    const typed = await stack.api('PUT', '/saes/demo/features/20/label', { label: 'mine' });
    expect(typed.body.data).toMatchObject({ index: 20, label: 'mine' });
    expect(await upload(stack, lines)).toMatchObject({ data: { imported: 1, kept: 1 } });
    expect(await label(stack, 20)).toBe('mine');
    expect((await stack.api('PUT', '/saes/demo/features/4096/label', { label: 'x' })).body.error?.code).toBe(
      'INVALID_FEATURE_INDEX',
    );
    const exported = await stack.api('GET', '/saes/demo/labels/export');
    const { features } = exported.body.data as { features: { index: number; label: string }[] };
    expect(features.find(({ index }) => index === 20)?.label).toBe('mine');
    expect(await upload(stack, JSON.stringify(exported.body), 'application/json')).toMatchObject({
      status: 200,
      data: { format: 'millm' },
    });
    const asLines = await (await fetch(`${stack.url}/api/saes/demo/labels/export?format=jsonl`)).text();
    expect(JSON.parse(asLines.split('\n')[0] ?? '')).toHaveProperty('description');
    await stack.api('PUT', '/saes/demo/features/20/label', { label: null });
    expect(await upload(stack, asLines)).toMatchObject({ data: { kept: 0 } });
    expect(await label(stack, 20)).toBe('mine');
  });

  it('are found by words in any form, by parts of words and by index', async () => {
    const stack = await startStack(db.database);
    await upload(stack, lines);
    expect((await search(stack, 'duck joke')).items).toMatchObject([{ index: 20 }]);
    expect((await search(stack, 'hip nam')).items).toMatchObject([{ index: 21 }]);
    expect((await search(stack, '21')).items[0]).toMatchObject({ index: 21 });
    expect((await search(stack, '100%_"\\')).total).toBe(0);
    const paged = await search(stack, 'feature', '&skip=1000&limit=1');
    expect(paged.items).toEqual([]);
    expect(paged.total).toBe((await search(stack, 'feature')).total);
  });

  it('of an index that no SAE can have are refused, in a path and in a file', async () => {
    const stack = await startStack(db.database);
    const beyond = 9_007_199_254_740_990;
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['PUT', '/label', { label: 'x' }],
    ] as const) {
      expect(await stack.api(method, `/saes/demo/features/${beyond}${path}`, body)).toMatchObject({
        status: 422,
        body: { error: { code: 'VALIDATION_ERROR' } },
      });
    }
    const file = `${lines}\n${JSON.stringify({ ...rows[0], index: beyond })}`;
    expect(await upload(stack, file)).toMatchObject({ data: { imported: 2, skipped: 1 } });
  });

  it('that are no labels are refused', async () => {
    const stack = await startStack(db.database);
    for (const bad of ['', '{"a":1}', 'no json\nat all', '[1', JSON.stringify([{ index: 9999, description: 'x' }])]) {
      expect([bad, (await upload(stack, bad)).status]).toEqual([bad, 422]);
    }
  });
});
