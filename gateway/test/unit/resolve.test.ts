import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { AttachedSae } from '../../src/inference/contract.ts';
import { canonicalText } from '../../src/steering/fingerprint.ts';
import { effectiveStrength, resolveSteering } from '../../src/steering/resolve.ts';
import type { ProfileSteering, SteeringInput } from '../../src/steering/resolve.ts';
import { steering } from '../../src/steering/schemas.ts';

const sae = (id: string, extra: Partial<AttachedSae> = {}): AttachedSae => ({
  sae_id: id,
  path: '/saes/x',
  format: 'saelens',
  architecture: 'jumprelu',
  d_in: 576,
  d_sae: 4096,
  hook: 'blocks.15.hook_resid_post',
  layer: 15,
  memory_bytes: 1,
  ...extra,
});
const demo = sae('demo');
const resolve = (input: Partial<SteeringInput>) =>
  resolveSteering({ inline: null, profile: null, active: null, attached: [demo], ...input });
const inline = (body: unknown) => steering.parse(body);
const strengths = (result: ReturnType<typeof resolve>) =>
  result.spec?.features.map(({ index, strength }) => [index, strength]) ?? [];
const profile: ProfileSteering = {
  name: 'calm',
  saeId: 'demo',
  intensity: 0.5,
  features: [{ index: 1, strength: 4 }],
};

describe('resolveSteering', () => {
  it('is the plain model when nobody asks', () => {
    expect(resolve({})).toEqual({ spec: null, name: 'none', intensity: 1 });
  });

  it('takes the only attached SAE when none is named', () => {
    const { spec } = resolve({ inline: inline({ features: [{ index: 7, strength: 5 }] }) });
    expect(spec?.features).toEqual([
      {
        sae_id: 'demo',
        index: 7,
        op: 'add',
        strength: 5,
        value: null,
        min: null,
        max: null,
        when: null,
        scope: null,
      },
    ]);
  });

  it('asks for a name when several are attached, and lists them', () => {
    const ask = { inline: inline({ features: [{ index: 7, strength: 5 }] }), attached: [demo, sae('other')] };
    expect(() => resolve(ask)).toThrow('"demo", "other"');
  });

  it('refuses an SAE that is not attached', () => {
    const ask = () => resolve({ inline: inline({ sae_id: 'gone', features: [{ index: 7, strength: 5 }] }) });
    expect(ask).toThrow(expect.objectContaining({ code: 'SAE_NOT_ATTACHED', param: 'steering.features[0].sae_id' }));
    expect(() => resolve({ inline: inline({ features: [{ index: 7, strength: 5 }] }), attached: [] })).toThrow(
      'No SAE is attached',
    );
  });

  it('names the range when an index is outside it', () => {
    const ask = () => resolve({ inline: inline({ features: [{ index: 4096, strength: 1 }] }) });
    expect(ask).toThrow(/features 0 to 4095/);
    expect(ask).toThrow(
      expect.objectContaining({ code: 'INVALID_FEATURE_INDEX', param: 'steering.features[0].index' }),
    );
  });

  it('multiplies additive strengths by the intensity, and nothing else', () => {
    const result = resolve({
      inline: inline({
        intensity: 0.5,
        features: [
          { index: 1, strength: 4 },
          { index: 2, op: 'clamp', value: 12 },
        ],
      }),
    });
    expect(result.spec?.features).toMatchObject([{ strength: 2 }, { strength: null, value: 12 }]);
    expect(result.intensity).toBe(0.5);
  });

  it('adds inline features after the profile, and sums what both add to one feature', () => {
    const both = inline({
      features: [
        { index: 2, strength: 3 },
        { index: 1, strength: 1 },
      ],
    });
    expect(strengths(resolve({ profile, inline: both }))).toEqual([
      [1, 3],
      [2, 3],
    ]);
  });

  it("lets the request's intensity replace the profile's", () => {
    expect(strengths(resolve({ profile }))).toEqual([[1, 2]]);
    expect(strengths(resolve({ profile, inline: inline({ intensity: 2 }) }))).toEqual([[1, 8]]);
  });

  it('uses the active configuration only when the request names neither features nor a profile', () => {
    const active = inline({ features: [{ index: 9, strength: 2 }] });
    expect(strengths(resolve({ active }))).toEqual([[9, 2]]);
    expect(strengths(resolve({ active, inline: inline({ intensity: 0.5 }) }))).toEqual([[9, 1]]);
    expect(strengths(resolve({ active, profile }))).toEqual([[1, 2]]);
    expect(resolve({ active, inline: inline({ features: [] }) }).name).toBe('none');
    expect(resolve({ active, inline: inline({ enabled: false }) }).name).toBe('none');
  });

  it('leaves out of the active configuration what is not attached now', () => {
    const active = inline({
      features: [
        { index: 9, strength: 2, sae_id: 'gone' },
        { index: 3, strength: 1 },
      ],
    });
    expect(strengths(resolve({ active }))).toEqual([[3, 1]]);
    expect(resolve({ active, attached: [] }).spec).toBeNull();
    const beyond = inline({
      features: [
        { index: 9999, strength: 1 },
        { index: 1, op: 'ablate' },
        { index: 2, strength: 1, when: { index: 1, above: 0, sae_id: 'gone' } },
        { index: 4, strength: 1 },
      ],
    });
    expect(strengths(resolve({ active: beyond, attached: [sae('demo', { operations: ['add'] })] }))).toEqual([[4, 1]]);
  });

  it('calls strength 0 what it is: nothing', () => {
    expect(resolve({ inline: inline({ features: [{ index: 1, strength: 0 }] }) }).name).toBe('none');
    expect(resolve({ inline: inline({ intensity: 0, features: [{ index: 1, strength: 5 }] }) }).name).toBe('none');
  });

  it('passes every operation with its conditions and scope', () => {
    const { spec } = resolve({
      inline: inline({
        features: [
          { index: 1, op: 'multiply', value: 0 },
          { index: 2, op: 'ablate' },
          { index: 3, op: 'clamp_range', min: 0, max: 4 },
          { index: 4, op: 'orthogonal', strength: 2 },
          { index: 5, op: 'norm_add', strength: 0.5 },
          { index: 6, op: 'ablate_direction' },
          {
            index: 10,
            strength: 4,
            when: { index: 77, above: 3, sae_id: 'demo' },
            scope: { roles: ['assistant'], positions: [0, 128] },
          },
        ],
      }),
    });
    expect(spec?.features).toMatchObject([
      { op: 'multiply', value: 0 },
      { op: 'ablate' },
      { op: 'clamp_range', min: 0, max: 4 },
      { op: 'orthogonal', strength: 2 },
      { op: 'norm_add', strength: 0.5 },
      { op: 'ablate_direction' },
      {
        op: 'add',
        when: { index: 77, above: 3, below: null, sae_id: 'demo', mode: 'token' },
        scope: { roles: ['assistant'], positions: [0, 128], phase: 'both', special_tokens: true },
      },
    ]);
  });

  it('refuses an operation the SAE cannot serve', () => {
    const attached = [sae('demo', { operations: ['add'] })];
    expect(() => resolve({ attached, inline: inline({ features: [{ index: 1, op: 'ablate' }] }) })).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_VALUE', param: 'steering.features[0].op' }),
    );
  });

  it('refuses the same feature twice, unless the second is conditional', () => {
    const twice = [
      { index: 1, strength: 1 },
      { index: 1, strength: 2 },
    ];
    expect(() => resolve({ inline: inline({ features: twice }) })).toThrow('listed twice');
    const conditional = [
      { index: 1, strength: 1 },
      { index: 1, strength: 2, when: { index: 3, above: 1 } },
    ];
    expect(resolve({ inline: inline({ features: conditional }) }).spec?.features).toHaveLength(2);
  });

  it('is strict about what each operation needs', () => {
    const bad = (feature: object) => steering.safeParse({ features: [{ index: 1, ...feature }] }).success;
    expect(bad({})).toBe(false);
    expect(bad({ strength: 301 })).toBe(false);
    expect(bad({ strength: Number.NaN })).toBe(false);
    expect(bad({ op: 'clamp' })).toBe(false);
    expect(bad({ op: 'clamp_range', min: 3, max: 1 })).toBe(false);
    expect(bad({ op: 'clamp_range' })).toBe(false);
    expect(bad({ strength: 1, when: { index: 3 } })).toBe(false);
    expect(bad({ strength: -300 })).toBe(true);
    expect(steering.safeParse({ intensity: 2.1 }).success).toBe(false);
  });
});

describe('fingerprint', () => {
  const vector = { 203: 6.5, 1187: -3.25, 4095: 0.5 };
  const features = (id: string) =>
    Object.entries(vector).map(([index, strength]) => ({
      sae_id: id,
      index: Number(index),
      op: 'add' as const,
      strength,
    }));

  it('hashes the published canonical text', () => {
    const text = canonicalText(features('example--smollm2-saes--layer_15_residual'));
    expect(createHash('sha256').update(text).digest('hex')).toBe(
      'd871c28df81d9147c6d9f2fc3cc595fc75b191c8544f9cffd7bf75f7a4b85151',
    );
  });

  it('does not depend on the order of features', () => {
    expect(canonicalText(features('demo').reverse())).toBe(canonicalText(features('demo')));
  });

  it('differs when an operation, a condition or a scope differs', () => {
    const one = (extra: object) => canonicalText([{ sae_id: 'demo', index: 1, op: 'add', strength: 1, ...extra }]);
    const texts = [
      one({}),
      one({ op: 'ablate' }),
      one({ when: { index: 2, above: 1 } }),
      one({ scope: { phase: 'prompt' } }),
    ];
    expect(new Set(texts).size).toBe(texts.length);
  });
});

describe('effectiveStrength', () => {
  it('keeps a suppression a suppression', () => {
    expect([effectiveStrength(-2, -1), effectiveStrength(2, -1), effectiveStrength(2, 1)]).toEqual([-2, -2, 2]);
  });
});
