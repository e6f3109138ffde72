import { describe, expect, it } from 'vitest';
import { modelName } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { profileWorld, saeId } from '../profiles-world.ts';
import type { ProfileWorld } from '../profiles-world.ts';

const db = useDatabase();
const features = [
  { index: 7, strength: 5, label: 'calm' },
  { index: 9, op: 'clamp', value: 3, when: { index: 1, above: 2 } },
];

async function make(world: ProfileWorld, body: object): Promise<{ id: string } & Record<string, unknown>> {
  const answer = await world.api('POST', '/profiles', body);
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body.error));
  return answer.body.data;
}

describe('profiles', () => {
  it('are made, listed, changed, duplicated and deleted', async () => {
    const world = await profileWorld(db.database);
    const made = await make(world, { name: 'calm', features, model: modelName });
    expect(made).toMatchObject({
      format: 'spec',
      sae_id: saeId(15),
      layer: 15,
      feature_count: 2,
      bound: true,
      features,
    });
    expect((await world.api('POST', '/profiles', { name: 'calm' })).body.error).toMatchObject({ code: 'CONFLICT' });
    const changed = await world.api('PATCH', `/profiles/${made.id}`, {
      name: 'calmer',
      features: [{ index: 8, strength: -1 }],
    });
    expect(changed.body.data).toMatchObject({
      name: 'calmer',
      feature_count: 1,
      features: [{ index: 8, strength: -1 }],
    });
    const copy = await world.api('POST', `/profiles/${made.id}/duplicate`);
    expect([copy.status, copy.body.data]).toMatchObject([201, { name: 'calmer (copy)', feature_count: 1 }]);
    expect((await world.api('GET', '/profiles')).body.data).toMatchObject([
      { name: 'calmer' },
      { name: 'calmer (copy)' },
    ]);
    expect((await world.api('DELETE', `/profiles/${made.id}`)).body.data).toEqual({
      profile_id: made.id,
      was_active: false,
    });
    expect((await world.api('GET', `/profiles/${made.id}`)).body.error).toMatchObject({ code: 'PROFILE_NOT_FOUND' });
    const bad = { name: 'x', features: [{ index: 4096, strength: 1 }] };
    expect((await world.api('POST', '/profiles', bad)).body.error).toMatchObject({ code: 'INVALID_FEATURE_INDEX' });
    const twice = { name: 'x', features: [features[0], features[0]] };
    expect((await world.api('POST', '/profiles', twice)).status).toBe(422);
  });

  it('are what requests get while active, and take their steering along when deleted', async () => {
    const world = await profileWorld(db.database);
    const { id } = await make(world, { name: 'calm', features: [{ index: 7, strength: 5 }] });
    const activated = await world.api('POST', `/profiles/${id}/activate`);
    expect(activated.body.data).toMatchObject({
      applied_steering: true,
      feature_count: 1,
      profile: { is_active: true },
    });
    expect((await world.steered({})).features).toMatchObject([{ index: 7, strength: 5 }]);
    await world.api('PATCH', `/profiles/${id}`, { intensity: 0.5 });
    expect((await world.steered({})).features).toMatchObject([{ index: 7, strength: 2.5 }]);
    const saved = await world.api('POST', '/profiles/save-current', { name: 'kept' });
    expect(saved.body.data).toMatchObject({
      intensity: 0.5,
      model: modelName,
      features: [{ index: 7, strength: 5, sae_id: saeId(15) }],
    });
    expect((await world.api('DELETE', `/profiles/${id}`)).body.data).toMatchObject({ was_active: true });
    expect((await world.steered({})).features).toEqual([]);
    const empty = await make(world, { name: 'empty' });
    await world.api('PUT', '/steering', { features: [{ index: 3, strength: 1 }] });
    await world.api('POST', `/profiles/${empty.id}/activate`);
    expect((await world.steered({})).features).toEqual([]);
    await world.api('POST', `/profiles/deactivate`);
    expect((await world.api('GET', `/profiles/${empty.id}`)).body.data).toMatchObject({ is_active: false });
  });

  it('refuse a dial outside their range, and cap it per request', async () => {
    const world = await profileWorld(db.database);
    const { profile } = await world.importSample('cluster.json');
    const dial = (intensity: number) => world.api('PATCH', `/profiles/${profile?.id}`, { intensity });
    expect((await dial(2)).body.error).toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { intensity_range: [0, 1.8] },
    });
    expect((await dial(0)).status).toBe(200);
    expect((await world.steered({ profile: profile?.id })).features).toEqual([]);
    await dial(1.8);
    const capped = await world.steered({ profile: profile?.id, steering: { intensity: 2 } });
    expect(capped.features[0]).toMatchObject({ index: 203, strength: 1.8 });
    expect(capped.headers.get('x-millm-steering-intensity')).toBe('1.8');
    // Where somebody turned it stays here.
    expect((await world.exported(profile?.id ?? '')).data['budget']).toMatchObject({ intensity: 1.2 });
  });

  it('keep unknown keys of a document that is changed here, and export in other formats with what is left out', async () => {
    const world = await profileWorld(db.database);
    const { profile } = await world.importSample('cluster.json');
    const id = profile?.id ?? '';
    const now = profile?.features.map(({ index, strength }) => ({ index, strength: index === 203 ? 2 : strength }));
    await world.api('PATCH', `/profiles/${id}`, { name: 'Renamed', features: now });
    const { data } = await world.exported(id);
    expect(data).toMatchObject({ name: 'Renamed', x_collection: { shelf: 'samples' } });
    const members = data['members'] as Record<string, unknown>[];
    expect(members[0]).toMatchObject({
      feature_idx: 203,
      strength: 2,
      meta: { x_reviewer: 'kept verbatim on re-export' },
    });
    expect(members[2]).toMatchObject({ feature_idx: 2950, strength: 0.6, sign: -1 });
    const made = await make(world, { name: 'ops', features, intensity: 0.5 });
    const p1 = await world.exported(made.id, '?format=p1');
    expect(p1.data).toMatchObject({ steering: { 7: 2.5 }, sae_id: saeId(15), layer: 15 });
    expect(p1.left_out).toHaveLength(2);
    const spec = await world.exported(made.id);
    const again = await world.import(JSON.stringify(spec.data));
    expect(again.data.profile).toMatchObject({ intensity: 0.5, features });
    const cluster = await world.exported(made.id, '?format=cluster');
    expect((await world.import(JSON.stringify(cluster.data))).data).toMatchObject({ status: 'imported' });
    expect((await world.api('GET', `/profiles/${made.id}/export?format=circuit`)).status).toBe(422);
  });

  it('survive a restart, and say which SAE or model they miss', async () => {
    const world = await profileWorld(db.database);
    const { id } = await make(world, { name: 'calm', features: [{ index: 7, strength: 5 }] });
    await world.api('POST', `/profiles/${id}/activate`);
    await world.api('POST', `/saes/${saeId(15)}/detach`);
    expect((await world.steered({ profile: 'calm' })).code).toBe('sae_not_attached');
    await world.api('POST', '/saes/demo/attach');
    expect(await world.steered({ profile: 'calm' })).toMatchObject({ status: 409, code: 'profile_incompatible' });
    const rebound = await world.api('PATCH', `/profiles/${id}`, { sae_id: 'demo' });
    expect(rebound.body.data).toMatchObject({ sae_id: 'demo' });
    expect((await world.steered({ profile: 'calm' })).features).toMatchObject([{ sae_id: 'demo', index: 7 }]);
  });
});
