import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { admit } from '../../src/profiles/admit.ts';
import type { AdmitOptions, World } from '../../src/profiles/admit.ts';
import type { KnownSae } from '../../src/profiles/binding.ts';
import { parseExact, parseJson } from '../../src/profiles/exchange/json.ts';
import { read } from '../../src/profiles/exchange/read.ts';
import { recognise, recogniseItem } from '../../src/profiles/exchange/recognise.ts';
import { AppError } from '../../src/errors.ts';

const samples = join(import.meta.dirname, '..', 'samples');
const model = 'HuggingFaceTB/SmolLM2-135M-Instruct';
const sae = (layer: number, attached = true): KnownSae => ({
  id: `example--smollm2-saes--layer_${layer}_residual`,
  repoId: 'example/smollm2-saes',
  repoPath: `layer_${layer}_residual`,
  layer,
  nFeatures: 4096,
  dModel: 576,
  hook: `blocks.${layer}.hook_resid_post`,
  attached,
});
const here: World = { saes: [sae(15)], modelName: model, loaded: { name: model, quantization: null } };
const refuse: AdmitOptions = { saeId: null, onInvalid: 'refuse' };

const textOf = (name: string) => readFileSync(join(samples, name), 'utf8');

function take(text: string, world: World = here, options = refuse) {
  const { value, exact, duplicates } = parseJson(text);
  const recognised = recognise(value, exact);
  if (recognised.kind === 'bundle') throw new Error('a bundle');
  return admit(read(recognised, duplicates), world, options);
}

function refusal(text: string, world: World = here, options = refuse): AppError {
  try {
    take(text, world, options);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('It was accepted.');
}

const errorsOf = (error: AppError) => error.details['errors'] as { path: string; value: unknown; reason: string }[];
const applied = ({ profile }: ReturnType<typeof take>) =>
  Object.fromEntries(profile.features.map(({ index, strength }) => [index, (strength ?? 0) * profile.intensity]));

function near(found: Record<string, number>, wanted: Record<string, number>): void {
  expect(Object.keys(found)).toEqual(Object.keys(wanted));
  for (const [index, strength] of Object.entries(wanted)) {
    expect(Math.abs((found[index] ?? NaN) - strength)).toBeLessThan(1e-12);
  }
}

describe('valid documents', () => {
  it.each([
    ['profile-p1.json', { 203: 6.5, 1187: -3.25, 4095: 0.5 }, []],
    ['profile-p1-enveloped.json', { 88: 12, 640: -40 }, ['on layer 15 alone']],
    ['profile-p3.json', { 96: -2.5, 512: 8, 1733: 4.25 }, []],
    ['profile-spec.json', { 17: 0.1, 2048: 5.5, 3001: -250 }, ['±200']],
    ['cluster.json', { 203: 1.2, 1187: -0.96, 2950: -0.72, 4095: -0.48 }, []],
  ])('%s applies what it says, with the warnings it deserves', (name, strengths, warnings) => {
    const admitted = take(textOf(name));
    near(applied(admitted), strengths);
    expect(admitted.status).toBe('imported');
    expect(admitted.profile.warnings).toEqual(warnings.map((part) => expect.stringContaining(part) as string));
    expect(admitted.profile.saeId).toBe(sae(15).id);
    expect(admitted.profile.modelName).toBe(model);
  });

  it('a circuit keeps its layers apart and has the rung of its weakest edge', () => {
    const { profile, status } = take(textOf('circuit.json'), { ...here, saes: [sae(10), sae(15)] });
    expect(status).toBe('imported');
    expect(profile.warnings).toEqual([]);
    expect(profile).toMatchObject({ rung: 1, intensity: 0.9, intensityMin: 0.2, intensityMax: 1.4, saeId: null });
    expect(profile.targets.map(({ bound }) => bound)).toEqual([sae(10).id, sae(15).id]);
    const at = (layer: number) =>
      Object.fromEntries(
        profile.features.filter((f) => f.layer === layer).map((f) => [f.index, (f.strength ?? 0) * 0.9]),
      );
    near(at(10), { 77: 1.26 });
    near(at(15), { 203: 0.81, 1187: -0.45, 2950: -0.27 });
  });

  it('a circuit without one of its SAEs is imported with a warning naming the block', () => {
    const { profile, status } = take(textOf('circuit.json'));
    expect(status).toBe('imported');
    expect(profile.warnings).toEqual([expect.stringContaining('block 10')]);
    expect(profile.targets.map(({ bound }) => bound)).toEqual([null, sae(15).id]);
  });

  it('the items of a bundle are definitions of their own', () => {
    const { value, exact } = parseJson(textOf('cluster-bundle.json'));
    const bundle = recognise(value, exact);
    if (bundle.kind !== 'bundle') throw new Error('no bundle');
    const found = bundle.items.map((item) => {
      const recognised = recogniseItem(item.value, item.exact);
      if (recognised.kind === 'bundle') throw new Error('nested');
      return admit(read(recognised, []), { ...here, modelName: null }, refuse);
    });
    near(applied(found[0] as never), { 311: 1.7, 2222: -1.1 });
    near(applied(found[1] as never), { 0: 2 });
    expect(found.map(({ profile }) => profile.name)).toEqual(['Question asking', 'Numbers in words']);
  });
});

describe('invalid documents', () => {
  it('lists every bad key of a P1 profile', () => {
    const error = refusal(textOf('invalid-profile-p1-entries.json'));
    expect(error.code).toBe('VALIDATION_ERROR');
    expect(new Set(error.details['invalid_keys'] as string[])).toEqual(
      new Set(['-4', '2.5', '0012', '640', '641', '642', '643', '4096']),
    );
    expect(errorsOf(error)).toHaveLength(8);
  });

  it('does not know that 4096 is too large before it knows the SAE', () => {
    const error = refusal(textOf('invalid-profile-p1-entries.json'), { ...here, saes: [] });
    expect(error.details['invalid_keys']).not.toContain('4096');
  });

  it('imports the good entries on request, and lists the rest', () => {
    const admitted = take(textOf('invalid-profile-p1-entries.json'), here, { ...refuse, onInvalid: 'skip' });
    expect(applied(admitted)).toEqual({ 203: 2 });
    expect(admitted.dropped.map(({ key }) => key).sort()).toEqual([
      '-4',
      '0012',
      '2.5',
      '4096',
      '640',
      '641',
      '642',
      '643',
    ]);
  });

  it('names all three conflicts of a document in two shapes', () => {
    const errors = errorsOf(refusal(textOf('invalid-profile-two-shapes.json')));
    expect(errors.map(({ path }) => path).sort()).toEqual(['features[1].index', 'layer', 'steering.203']);
  });

  it('lists all eight problems of a circuit at once', () => {
    const errors = errorsOf(refusal(textOf('invalid-circuit-structure.json')));
    expect(errors.map(({ path }) => path).sort()).toEqual([
      'budget.intensity_range',
      'calibration.sweet_spot',
      'edges[0].up.layer',
      'edges[1].rung',
      'edges[1].up',
      'members[1].expanded_members[0].feature_idx',
      'members[2].layer',
      'members[3].expanded_members',
    ]);
  });

  it('names kind and version that it does not know', () => {
    const error = refusal(textOf('invalid-cluster-schema-version.json'));
    expect(error).toMatchObject({
      code: 'VALIDATION_ERROR',
      details: { kind: 'mistudio.cluster-definition', schema_version: '2' },
    });
    expect(error.message).toContain('mistudio.cluster-definition');
    expect(error.message).toContain('"2"');
  });

  it('stays unbound in another feature space, with a warning for each difference', () => {
    const admitted = take(textOf('invalid-cluster-feature-space.json'), { ...here, modelName: null });
    expect(admitted.status).toBe('imported_unbound');
    expect(admitted.profile.saeId).toBeNull();
    const warnings = admitted.profile.warnings.join('\n');
    for (const part of ['32768', '4096', 'block 12', 'SmolLM2-360M-Instruct']) expect(warnings).toContain(part);
    expect(admitted.profile.warnings).toHaveLength(3);
  });

  it.each([
    ['a list', '[]', 'VALIDATION_ERROR'],
    ['NaN', '{"name":"x","steering":{"1":NaN}}', 'VALIDATION_ERROR'],
    ['members without a kind', '{"name":"x","members":[]}', 'UNKNOWN_KIND'],
    ['a kind of its own', '{"kind":"miforge.checkpoint-manifest","schema_version":"1"}', 'UNKNOWN_KIND'],
    ['an error answer', '{"success":false,"data":null,"error":{"message":"gone"}}', 'VALIDATION_ERROR'],
    ['neither shape', '{"name":"x"}', 'VALIDATION_ERROR'],
    ['too deep', `${'{"a":'.repeat(33)}1${'}'.repeat(33)}`, 'VALIDATION_ERROR'],
    ['a later major version', '{"version":"2.0","name":"x","steering":{}}', 'VALIDATION_ERROR'],
  ])('refuses %s', (_what, text, code) => {
    expect(refusal(text).code).toBe(code);
  });

  it('sees keys that appear twice, also written with escapes', () => {
    const error = refusal('{"name":"x","layer":15,"steering":{"203":1,"20\\u0033":2,"5":1}}');
    expect(error.details['invalid_keys']).toEqual(['203']);
    const skipped = take('{"name":"x","layer":15,"steering":{"203":1,"203":2,"5":1}}', here, {
      ...refuse,
      onInvalid: 'skip',
    });
    expect(applied(skipped)).toEqual({ 5: 1 });
  });
});

describe('exactness', () => {
  it('keeps the digits of numbers and the order of keys', () => {
    const text = '{"z":1.0,"a":12345678901234567890,"m":1e400,"s":"\\"{1.50}","l":[0.10,-0]}';
    expect(JSON.stringify(parseExact(text))).toBe(text);
  });

  it('stores a document as it came', () => {
    const text = textOf('cluster.json');
    const stored = take(text).profile.document ?? '';
    expect(JSON.parse(stored)).toEqual(JSON.parse(text));
    expect(stored.replace(/\s/g, '')).toBe(text.replace(/\s/g, ''));
  });

  it('names unknown keys of a plain profile in a warning', () => {
    const { profile } = take(
      '{"name":"x","layer":15,"mood":"blue","features":[{"index":1,"strength":1,"hue":3}],"sae":{"id":"example--smollm2-saes--layer_15_residual"}}',
    );
    expect(profile.warnings).toEqual(['Kept but not understood: mood, features[0].hue.']);
  });

  it('reads operations, conditions and scopes as extra keys of entries', () => {
    const entries = [
      { index: 1, strength: 2 },
      { index: 2, op: 'clamp', value: 12, when: { index: 7, above: 3 } },
      { index: 2, op: 'ablate', scope: { roles: ['assistant'] } },
    ];
    const { profile } = take(JSON.stringify({ name: 'x', sae: { layer: 15 }, features: entries }));
    expect(profile.features.map(({ op, options }) => [op, options])).toEqual([
      ['add', null],
      ['clamp', { value: 12, when: { index: 7, above: 3 } }],
      ['ablate', { scope: { roles: ['assistant'] } }],
    ]);
  });
});
