import { describe, expect, it } from 'vitest';
import { boundOf, describeRule, withBound, withScope } from './rules.ts';

describe('a condition', () => {
  it('keeps its numbers when its bound changes, and has those that its bound needs', () => {
    const when = { index: 3, sae_id: 'other', above: 2, mode: 'prompt' as const };
    expect(withBound(when, 'below')).toEqual({ index: 3, sae_id: 'other', mode: 'prompt', below: 2 });
    const between = withBound(when, 'between');
    expect(between).toEqual({ ...when, below: 3 });
    expect(withBound(between, 'above')).toEqual(when);
    expect(withBound({ index: 3, below: 5 }, 'between')).toEqual({ index: 3, above: 0, below: 5 });
    for (const bound of ['above', 'below', 'between'] as const) expect(boundOf(withBound(when, bound))).toBe(bound);
  });
});

describe('a scope', () => {
  it('is nothing when it is everywhere', () => {
    const scope = withScope(null, { phase: 'generated' });
    expect(scope).toEqual({ phase: 'generated' });
    expect(withScope(scope, { phase: 'both' })).toBeNull();
    expect(withScope(null, { roles: ['tool', 'assistant', 'user', 'system'], special_tokens: true })).toBeNull();
  });

  it('keeps what is not changed', () => {
    expect(withScope({ positions: [0, 8], roles: ['user'] }, { special_tokens: false })).toEqual({
      positions: [0, 8],
      roles: ['user'],
      special_tokens: false,
    });
  });
});

describe('a rule in few words', () => {
  it.each([
    [{}, ''],
    [{ when: { index: 3, above: 2 } }, 'when #3 is above 2'],
    [
      { when: { index: 3, sae_id: 'other', above: 0.5, below: 2, mode: 'latched' as const } },
      'when #3 of other is above 0.5 and below 2 at this or an earlier token',
    ],
    [
      { scope: { phase: 'generated' as const, roles: ['user'], positions: [0, 8], special_tokens: false } },
      'the answer alone, words of user, positions 0 to 8, no special tokens',
    ],
  ])('%o', (rule, text) => {
    expect(describeRule(rule)).toBe(text);
  });
});
