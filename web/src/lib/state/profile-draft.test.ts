import { describe, expect, it } from 'vitest';
import { sampleProfile } from '../../../tests/samples/profiles.ts';
import { describeOperation, operationNames, operations, withOperation } from './operations.ts';
import { compareProfiles } from './profile-compare.ts';
import { ProfileDraft } from './profile-draft.svelte.ts';

const feature = (index: number, fields = {}) => ({
  index,
  op: 'add',
  strength: 10,
  label: null,
  sae_id: 'demo',
  layer: null,
  ...fields,
});

describe('operations', () => {
  it('take exactly their own numbers when one replaces another', () => {
    for (const op of operationNames) {
      const changed = withOperation({ index: 1, op: 'add', strength: 5, when: { index: 2, above: 1 } }, op);
      const numbers = ['strength', 'value', 'min', 'max'].filter((name) => name in changed);
      expect(numbers).toEqual(operations[op].parameters);
      expect(changed.when).toEqual({ index: 2, above: 1 });
    }
    expect(withOperation({ index: 1, strength: 5 }, 'add').strength).toBe(5);
    // 55 decoder rows are no 55 lengths of the token.
    expect(withOperation({ index: 1, strength: 55 }, 'norm_add').strength).toBe(0.3);
  });

  it.each([
    [{ strength: 12 }, '+12'],
    [{ op: 'add' as const, strength: -3.456 }, '−3.46'],
    [{ op: 'clamp' as const, value: 4 }, 'clamp 4'],
    [{ op: 'clamp_range' as const, min: 0, max: 8 }, 'between 0 and 8'],
    [{ op: 'clamp_range' as const, max: 8 }, 'at most 8'],
    [{ op: 'clamp_range' as const, min: 1 }, 'at least 1'],
    [{ op: 'multiply' as const, value: 0.5 }, '× 0.5'],
    [{ op: 'ablate' as const }, 'ablate'],
    [{ op: 'ablate_direction' as const }, 'ablate direction'],
    [{ op: 'orthogonal' as const, strength: 2 }, 'orthogonal 2'],
    [{ op: 'norm_add' as const, strength: 2 }, 'relative 2'],
  ])('are told in few words: %o', (of, text) => {
    expect(describeOperation(of)).toBe(text);
  });
});

describe('a profile being written', () => {
  it('needs a name and a feature', () => {
    const draft = new ProfileDraft(null, 'demo');
    expect(draft.problem).toBe('It needs a name.');
    draft.name = ' calm ';
    expect(draft.problem).toBe('It needs a feature.');
    draft.add({ index: 7, label: 'the sea', max_activation: 20 });
    expect(draft.problem).toBeNull();
    expect(draft.toRequest()).toMatchObject({
      name: 'calm',
      description: null,
      sae_id: 'demo',
      features: [{ index: 7, label: 'the sea', op: 'add' }],
    });
  });

  it('has a feature once', () => {
    const draft = new ProfileDraft(null, 'demo');
    draft.add({ index: 7, label: null });
    draft.add({ index: 7, label: null });
    expect(draft.features).toHaveLength(1);
  });

  it('keeps strengths inside what the server takes', () => {
    const draft = new ProfileDraft(sampleProfile());
    draft.list.setNumber(0, 'strength', 1_000);
    expect(draft.features[0]?.strength).toBe(300);
  });

  it('sends features only when they were changed, with what it cannot show', () => {
    const when = { index: 3, above: 1 };
    const draft = new ProfileDraft(sampleProfile({ features: [feature(7, { when })] }));
    draft.name = 'calmer';
    expect(draft.toChange()).toEqual({ name: 'calmer', description: null, intensity: 1 });
    draft.list.setOperation(0, 'clamp');
    draft.list.setNumber(0, 'value', 4);
    expect(draft.toChange().features).toEqual([
      { index: 7, op: 'clamp', value: 4, when, label: null, sae_id: 'demo', layer: null },
    ]);
    draft.list.remove(0);
    expect(draft.toChange().features).toEqual([]);
  });
});

describe('comparing two profiles', () => {
  it('puts what differs first, the strongest before the weaker', () => {
    const a = sampleProfile({ features: [feature(1), feature(2, { strength: 5 }), feature(3, { label: 'sea' })] });
    const b = sampleProfile({ features: [feature(1), feature(2, { strength: -20 })] });
    const rows = compareProfiles(a, b);
    expect(rows.map(({ index, isSame }) => [index, isSame])).toEqual([
      [2, false],
      [3, false],
      [1, true],
    ]);
    expect(rows[1]).toMatchObject({ label: 'sea', a: { text: '+10', strength: 10 }, b: null });
  });

  it('does not mix features of different SAEs', () => {
    const a = sampleProfile({ features: [feature(1)] });
    const b = sampleProfile({ features: [feature(1, { sae_id: 'other' })] });
    expect(compareProfiles(a, b)).toHaveLength(2);
  });
});
