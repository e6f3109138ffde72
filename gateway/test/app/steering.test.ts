import { describe, expect, it } from 'vitest';
import { modelName, readFrames, startStack } from '../build-test-app.ts';
import type { TestStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();
const hi = { model: modelName, messages: [{ role: 'user', content: 'hi' }] };
const sent = ({ fake }: TestStack) =>
  fake.requests.at(-1)?.steering?.features.map(({ index, strength }) => [index, strength]) ?? [];

async function ask(stack: TestStack, extra: object): Promise<Response> {
  const response = await stack.v1('/chat/completions', { ...hi, ...extra });
  await response.clone().text();
  return response;
}

describe('steering of one request', () => {
  it('reaches the sidecar, and its name is in the header and in usage', async () => {
    const stack = await startStack(db.database);
    const response = await ask(stack, { steering: { features: [{ index: 7, strength: 5 }] } });
    const { usage } = (await response.json()) as { usage: { millm: { steering: string } } };
    const name = response.headers.get('x-millm-steering');
    expect(name).toMatch(/^[0-9a-f]{16}$/);
    expect(usage.millm.steering).toBe(name);
    expect(stack.fake.requests.at(-1)?.steering).toMatchObject({
      fingerprint: name,
      features: [{ sae_id: 'demo', index: 7, strength: 5 }],
    });
  });

  it('is none without steering, with strength 0, with an empty list and with null', async () => {
    const stack = await startStack(db.database);
    const asks = [
      {},
      { steering: { features: [{ index: 7, strength: 0 }] } },
      { steering: { features: [] } },
      { steering: null },
    ];
    for (const extra of asks) {
      expect((await ask(stack, extra)).headers.get('x-millm-steering')).toBe('none');
      expect(stack.fake.requests.at(-1)?.steering).toBeNull();
    }
  });

  it('knows the alias of intensity and its words', async () => {
    const stack = await startStack(db.database);
    const steering = { features: [{ index: 7, strength: 4 }] };
    const response = await ask(stack, { steering, steering_intensity: 'max' });
    expect(sent(stack)).toEqual([[7, 8]]);
    expect(response.headers.get('x-millm-steering-intensity')).toBe('2');
    await ask(stack, { steering, steering_intensity: 0.5 });
    expect(sent(stack)).toEqual([[7, 2]]);
    expect((await ask(stack, { steering, steering_intensity: 'off' })).headers.get('x-millm-steering')).toBe('none');
  });

  it('is refused with 400 when no SAE is attached', async () => {
    const stack = await startStack(db.database);
    await stack.api('POST', '/saes/demo/detach');
    const response = await ask(stack, { steering: { features: [{ index: 7, strength: 4 }] } });
    expect([response.status, await response.json()]).toMatchObject([400, { error: { code: 'sae_not_attached' } }]);
  });
});

describe('the active configuration', () => {
  const body = { features: [{ index: 3, strength: 4 }] };

  it('is applied to requests that say nothing, and can be escaped', async () => {
    const stack = await startStack(db.database);
    expect((await stack.api('PUT', '/steering', body)).status).toBe(200);
    await ask(stack, {});
    expect(sent(stack)).toEqual([[3, 4]]);
    await ask(stack, { steering: { intensity: 0.5 } });
    expect(sent(stack)).toEqual([[3, 2]]);
    await ask(stack, { steering: { features: [{ index: 9, strength: 1 }] } });
    expect(sent(stack)).toEqual([[9, 1]]);
    await ask(stack, { steering: { enabled: false } });
    expect(sent(stack)).toEqual([]);
  });

  it('survives a restart of the gateway', async () => {
    const first = await startStack(db.database);
    await first.api('PUT', '/steering', body);
    const second = await startStack(db.database);
    expect((await second.api('GET', '/steering')).body.data).toMatchObject({
      enabled: true,
      features: [{ index: 3, strength: 4, label: 'feature 3 about calm' }],
    });
  });

  it('is switched off and on without being forgotten', async () => {
    const stack = await startStack(db.database);
    await stack.api('PUT', '/steering', body);
    await stack.api('POST', '/steering/disable');
    await ask(stack, {});
    expect(sent(stack)).toEqual([]);
    expect((await stack.api('POST', '/steering/enable')).body.data).toMatchObject({
      enabled: true,
      features: [{ index: 3 }],
    });
    await ask(stack, {});
    expect(sent(stack)).toEqual([[3, 4]]);
  });

  it('changes one feature at a time', async () => {
    const stack = await startStack(db.database);
    await stack.api('PATCH', '/steering/features/3', { strength: 1 });
    await stack.api('PATCH', '/steering/features/5', { strength: -2 });
    await stack.api('PATCH', '/steering/features/3', { strength: 6 });
    await ask(stack, {});
    expect(sent(stack)).toEqual([
      [3, 6],
      [5, -2],
    ]);
    await stack.api('PATCH', '/steering/features/3', { strength: null });
    await ask(stack, {});
    expect(sent(stack)).toEqual([[5, -2]]);
    await stack.api('DELETE', '/steering');
    await ask(stack, {});
    expect(sent(stack)).toEqual([]);
  });

  it('refuses what the attached SAE does not have', async () => {
    const stack = await startStack(db.database);
    const refused = await stack.api('PUT', '/steering', { features: [{ index: 5000, strength: 1 }] });
    expect(refused).toMatchObject({ status: 400, body: { error: { code: 'INVALID_FEATURE_INDEX' } } });
  });

  it('hurts nobody when its SAE is detached', async () => {
    const stack = await startStack(db.database);
    await stack.api('PUT', '/steering', body);
    await stack.api('POST', '/saes/demo/detach');
    expect((await ask(stack, {})).headers.get('x-millm-steering')).toBe('none');
  });
});

describe('profiles', () => {
  async function saveProfile(extra: object = {}): Promise<void> {
    await db.database.client.profile.create({
      data: {
        id: 'p1',
        name: 'calm',
        saeId: 'demo',
        features: { create: [{ position: 0, index: 11, strength: 2 }] },
        ...extra,
      },
    });
  }

  it('is found by name or id and combined with inline features', async () => {
    const stack = await startStack(db.database);
    await saveProfile();
    for (const profile of ['calm', 'p1']) {
      await ask(stack, { profile, steering: { features: [{ index: 12, strength: 1 }] } });
      expect(sent(stack)).toEqual([
        [11, 2],
        [12, 1],
      ]);
    }
  });

  it('says what differs when it is for another SAE or model', async () => {
    const stack = await startStack(db.database);
    await saveProfile({ saeId: 'gemma-l20' });
    const refused = await ask(stack, { profile: 'calm' });
    expect([refused.status, await refused.json()]).toMatchObject([
      409,
      { error: { code: 'profile_incompatible', param: 'profile', message: expect.stringContaining('"gemma-l20"') } },
    ]);
    await db.database.client.profile.update({ where: { id: 'p1' }, data: { saeId: 'demo', modelName: 'other/model' } });
    expect((await ask(stack, { profile: 'calm' })).status).toBe(409);
  });
});

describe('activations in the answer', () => {
  const activations = { top_k: 2, features: [7] };
  interface Choice {
    millm?: { activations: { position: number; features: { index: number; label: string | null }[] }[] };
  }

  it('have an entry per token with labels, the same streamed or not', async () => {
    const stack = await startStack(db.database);
    const whole = (await (await ask(stack, { activations })).json()) as {
      choices: Choice[];
      usage: { completion_tokens: number };
    };
    const entries = whole.choices[0]?.millm?.activations ?? [];
    expect(entries).toHaveLength(whole.usage.completion_tokens - 1); // the end of sequence has none
    expect(entries[0]?.features.map(({ index, label }) => [index, label])).toEqual([
      [7, 'feature 7 about calm'],
      [1, 'feature 1 about numbers'],
      [2, 'feature 2 about questions'],
    ]);
    const frames = await readFrames(await stack.v1('/chat/completions', { ...hi, activations, stream: true }));
    const chunks = frames.slice(0, -1).map((frame) => JSON.parse(frame) as { choices: Choice[] });
    expect(chunks.flatMap((chunk) => chunk.choices[0]?.millm?.activations ?? [])).toEqual(entries);
  });

  it('can include the prompt', async () => {
    const stack = await startStack(db.database);
    const whole = (await (await ask(stack, { activations: { ...activations, prompt: true } })).json()) as {
      choices: Choice[];
    };
    expect(whole.choices[0]?.millm?.activations.map(({ position }) => position).slice(0, 4)).toEqual([0, 1, 2, 3]);
  });

  it('are absent when nobody asked', async () => {
    const stack = await startStack(db.database);
    expect(await (await ask(stack, {})).text()).not.toContain('activations');
  });
});
