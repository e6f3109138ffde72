import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { canonicalText } from '../../src/steering/fingerprint.ts';
import type { FeatureSteering } from '../../src/inference/contract.ts';
import { useDatabase } from '../database.ts';
import { profileWorld, saeId, sample } from '../profiles-world.ts';

const db = useDatabase();
const plain = ['profile-p1.json', 'profile-p1-enveloped.json', 'profile-p3.json', 'profile-spec.json', 'cluster.json'];

const hashOf = (features: unknown[]) =>
  `sha256:${createHash('sha256')
    .update(canonicalText(features as FeatureSteering[]))
    .digest('hex')}`;

const documentIn = (text: string) => {
  const value = JSON.parse(text) as Record<string, unknown>;
  return value['success'] === true ? value['data'] : value;
};

describe('importing documents', () => {
  it('gives back what it got, and takes it again under another name', { timeout: 120_000 }, async () => {
    const world = await profileWorld(db.database, [10, 15]);
    for (const name of [...plain, 'circuit.json']) {
      const first = await world.importSample(name);
      expect([name, first.status]).toEqual([name, 'imported']);
      const { data } = await world.exported(first.profile?.id ?? '');
      expect(data).toEqual(documentIn(sample(name)));
      const again = await world.import(JSON.stringify(data));
      expect(again.data.profile?.name).toBe(`${first.profile?.name} (2)`);
      expect(again.data.warnings).toContainEqual(expect.stringContaining('is taken'));
      expect((await world.exported(again.data.profile?.id ?? '')).data).toEqual(data);
      expect((await world.import(sample(name), '?on_conflict=fail')).body.error?.code).toBe('CONFLICT');
    }
  });

  it('takes clusters and circuits at routes of their own, and gives their documents back bare', async () => {
    const world = await profileWorld(db.database, [10, 15]);
    const importAt = (kind: string, name: string) => world.import(sample(name), '?activate=true', `/${kind}/import`);
    for (const [kind, name] of [
      ['clusters', 'cluster.json'],
      ['circuits', 'circuit.json'],
    ] as const) {
      const taken = await importAt(kind, name);
      const id = taken.data.profile?.id ?? '';
      const bare = await fetch(`${world.url}/api/${kind}/${id}/export`);
      expect(await bare.json()).toEqual(documentIn(sample(name)));
      // A circuit is never activated by its import.
      expect((await world.api('GET', `/profiles/${id}`)).body.data).toMatchObject({ is_active: kind === 'clusters' });
      expect((await fetch(`${world.url}/api/${kind}/nobody/export`)).status).toBe(404);
    }
    expect((await importAt('clusters', 'cluster-bundle.json')).data.imported).toBe(2);
    for (const [kind, name] of [
      ['clusters', 'circuit.json'],
      ['circuits', 'cluster.json'],
      ['clusters', 'profile-spec.json'],
    ] as const) {
      const refused = await importAt(kind, name);
      expect([refused.status, refused.body.error?.message]).toEqual([
        422,
        expect.stringContaining('is imported at /api/profiles/import'),
      ]);
    }
  });

  it('gives a bundle back whole', async () => {
    const world = await profileWorld(db.database);
    const report = await world.importSample('cluster-bundle.json');
    expect(report.results.map(({ name, status }) => [name, status])).toEqual([
      ['Question asking', 'imported'],
      ['Numbers in words', 'imported'],
    ]);
    const ids = report.results.map(({ profile_id }) => profile_id).join(',');
    const bundle = await world.api('GET', `/profiles/export?ids=${ids}`);
    expect(bundle.body.data).toEqual(JSON.parse(sample('cluster-bundle.json')));
    expect((await world.import(JSON.stringify(bundle.body.data))).data.imported).toBe(2);
  });

  it('steers from every format exactly as the same features given inline, by the published hash', async () => {
    const world = await profileWorld(db.database);
    const hashes: Record<string, string> = {
      'profile-p1.json': 'sha256:d871c28df81d9147c6d9f2fc3cc595fc75b191c8544f9cffd7bf75f7a4b85151',
      'profile-spec.json': 'sha256:b59243eadd8ed378304c5e31897b59da78664b25b4551f5eac30d0d243c67fff',
      'cluster.json': 'sha256:85c75ed88e43805bedc2955557a79bf9ab762f6e8969af72246a8ef8dbec7ffa',
    };
    for (const name of plain) {
      const { profile } = await world.importSample(name);
      const byProfile = await world.steered({ profile: profile?.name });
      const intensity = name === 'cluster.json' ? 1.2 : 1;
      const features = profile?.features.map(({ index, strength }) => ({ index, strength }));
      const inline = await world.steered({ steering: { intensity, features } });
      expect([name, byProfile.features]).toEqual([name, inline.features]);
      expect(byProfile.headers.get('x-millm-steering')).toBe(inline.headers.get('x-millm-steering'));
      if (hashes[name]) expect([name, hashOf(byProfile.features)]).toEqual([name, hashes[name]]);
    }
  });

  it('serves a circuit across its layers, as the same features inline', async () => {
    const world = await profileWorld(db.database, [10, 15]);
    const { profile } = await world.importSample('circuit.json');
    const id = profile?.id ?? '';
    expect((await world.steered({ profile: id })).code).toBe('unvalidated_circuit');
    expect((await world.api('POST', `/profiles/${id}/activate`)).body.error?.code).toBe('UNVALIDATED_CIRCUIT');
    expect((await world.api('POST', `/profiles/${id}/activate?acknowledge_unvalidated=true`)).status).toBe(200);
    const inline = [
      { sae_id: saeId(10), index: 77, strength: 1.4 },
      { sae_id: saeId(15), index: 203, strength: 0.9 },
      { sae_id: saeId(15), index: 1187, strength: -0.5 },
      { sae_id: saeId(15), index: 2950, strength: -0.3 },
    ];
    const wanted = await world.steered({ steering: { intensity: 0.9, features: inline } });
    expect((await world.steered({ profile: id })).features).toEqual(wanted.features);
    expect((await world.steered({})).features).toEqual(wanted.features);
    // Its dial is clamped at both ends.
    const strengths = async (intensity: number) =>
      (await world.steered({ profile: id, steering: { intensity } })).features.map(
        (f) => (f as FeatureSteering).strength,
      );
    expect((await strengths(2))[0]).toBeCloseTo(1.4 * 1.4, 12);
    expect((await strengths(0.1))[0]).toBeCloseTo(1.4 * 0.2, 12);
    expect(await strengths(0)).toEqual([]);
  });

  it('refuses a circuit that lacks an SAE, naming its block, and offers a slice as an export', async () => {
    const world = await profileWorld(db.database, [15]);
    const report = await world.importSample('circuit.json');
    expect(report.warnings.join()).toContain('block 10');
    const id = report.profile?.id ?? '';
    const refused = await world.api('POST', `/profiles/${id}/activate`, { acknowledge_unvalidated: true });
    expect([refused.status, refused.body.error?.code]).toEqual([422, 'SAE_SET_INCOMPLETE']);
    expect(refused.body.error?.message).toContain('block 10');
    expect(refused.body.error?.details['layers']).toEqual([10]);
    const { data, left_out } = await world.exported(id, '?format=cluster&layer=15');
    expect(data).toMatchObject({ name: 'Setup to punchline [L15 slice]', budget: { intensity: 0.9 } });
    expect(left_out).toHaveLength(1);
    const slice = await world.import(JSON.stringify(data));
    const steered = await world.steered({ profile: slice.data.profile?.name });
    expect(steered.features.map((f) => [(f as FeatureSteering).index, (f as FeatureSteering).strength])).toEqual([
      [203, 0.9 * 0.9],
      [1187, -0.5 * 0.9],
      [2950, -0.3 * 0.9],
    ]);
  });
});

describe('documents that do not fit', () => {
  it('are refused with everything that is wrong, and nothing is stored', async () => {
    const world = await profileWorld(db.database);
    for (const name of ['profile-p1-entries', 'profile-two-shapes', 'cluster-schema-version', 'circuit-structure']) {
      const { status, body } = await world.import(sample(`invalid-${name}.json`));
      expect([name, status, body.error?.code]).toEqual([name, 422, 'VALIDATION_ERROR']);
    }
    expect(await db.database.client.profile.count()).toBe(0);
    const skipped = await world.importSample('invalid-profile-p1-entries.json', '?on_invalid=skip');
    expect(skipped.profile?.features).toMatchObject([{ index: 203, strength: 2 }]);
    expect(skipped.dropped).toHaveLength(8);
  });

  it('stay unbound when the feature space differs, and are refused by name of both sizes', async () => {
    const world = await profileWorld(db.database);
    const report = await world.importSample('invalid-cluster-feature-space.json', '?activate=true');
    expect(report.status).toBe('imported_unbound');
    expect(report.warnings.at(-1)).toContain('Not activated');
    const refused = await world.api('POST', `/profiles/${report.profile?.id}/activate`);
    expect([refused.status, refused.body.error?.code]).toEqual([409, 'PROFILE_INCOMPATIBLE']);
    for (const size of ['32768', '4096']) expect(refused.body.error?.message).toContain(size);
    expect(refused.body.error?.details).toMatchObject({ wanted: { n_features: 32768 }, found: { n_features: 4096 } });
    expect(await world.steered({ profile: report.profile?.id })).toMatchObject({
      status: 409,
      code: 'profile_incompatible',
    });
  });

  it('do not spoil the good ones in their bundle', async () => {
    const world = await profileWorld(db.database);
    const report = await world.importSample('invalid-cluster-bundle-items.json');
    expect(report).toMatchObject({ imported: 2, errors: 4, status: 'partial' });
    expect(report.results.map(({ name, status }) => [name, status])).toEqual([
      ['Fine on its own', 'imported'],
      ['One member too many', 'error'],
      ['Points at a disk', 'error'],
      ['Ambiguous sign', 'error'],
      ['Same feature twice', 'error'],
      ['Dial outside its range', 'imported'],
    ]);
    expect(report.results[5]?.warnings.join()).toContain('1.5');
    const stored = await db.database.client.profile.findUniqueOrThrow({ where: { name: 'Dial outside its range' } });
    expect(stored.intensity).toBe(1);
  });

  it('are too large, unknown or not JSON', async () => {
    const world = await profileWorld(db.database);
    const code = async (text: string) => (await world.import(text)).body.error?.code;
    expect(await code(JSON.stringify({ name: 'x', pad: 'x'.repeat(1_100_000), steering: {} }))).toBe(
      'PAYLOAD_TOO_LARGE',
    );
    expect(await code('x'.repeat(3_000_000))).toBe('PAYLOAD_TOO_LARGE');
    expect(await code('{"kind":"mistudio.prompt-template","schema_version":"1"}')).toBe('UNKNOWN_KIND');
    expect(await code('{"a":')).toBe('VALIDATION_ERROR');
  });
});

describe('a probe', () => {
  it('is kept and given back, and steers nothing', async () => {
    const world = await profileWorld(db.database);
    const probe = {
      kind: 'mistudio.probe-definition/v1',
      name: 'sarcasm',
      model: { hf_id: 'HuggingFaceTB/SmolLM2-135M-Instruct', d_model: 576 },
      read: { layer: 15, hook_point: 'resid_post' },
      head: { weights: [0.25, -1.5], bias: 0 },
    };
    const { data } = await world.import(JSON.stringify(probe));
    expect((await world.exported(data.profile?.id ?? '')).data).toEqual(probe);
    expect((await world.api('POST', `/profiles/${data.profile?.id}/activate`)).status).toBe(422);
    expect((await world.import(JSON.stringify({ ...probe, extra: 1 }))).body.error?.code).toBe('VALIDATION_ERROR');
  });
});
