import { describe, expect, it } from 'vitest';
import type { ActivationEntry } from '#lib/api/types.ts';
import { heatOf, nextToken, splitSpace, strongest, visibleToken } from './tokens.ts';

const entry = (...features: [index: number, value: number][]): ActivationEntry => ({
  position: 1,
  token_id: 1,
  token: ' sea',
  sae_id: 'demo',
  features: features.map(([index, value]) => ({ index, value, label: null })),
});

describe('tokens', () => {
  it('are tinted by how strongly the steered feature fires', () => {
    const feature = { index: 12, label: null, max_activation: 40 };
    expect(heatOf(entry([12, 40]), feature)).toBe('rgb(var(--heat) / 0.420)');
    expect(heatOf(entry([12, 20]), feature)).toBe('rgb(var(--heat) / 0.240)');
    expect(heatOf(entry([12, 0]), feature)).toBeUndefined();
    expect(heatOf(entry([7, 40]), feature)).toBeUndefined();
    expect(heatOf(entry([12, 40]), null)).toBeUndefined();
    expect(heatOf(entry([12, 40]), { ...feature, sae_id: 'demo' })).toBe('rgb(var(--heat) / 0.420)');
    expect(heatOf(entry([12, 40]), { ...feature, sae_id: 'other' })).toBeUndefined();
  });

  it('are walked with the arrow keys, past text without an entry', () => {
    const segments = [entry([1, 1]), null, entry([1, 1]), entry([1, 1])].map((of, id) => ({
      id,
      text: 'x',
      entry: of,
    }));
    expect(nextToken(segments, null, 'ArrowRight')).toBe(0);
    expect(nextToken(segments, 0, 'ArrowRight')).toBe(2);
    expect(nextToken(segments, 3, 'ArrowRight')).toBe(3);
    expect(nextToken(segments, 2, 'ArrowLeft')).toBe(0);
    expect(nextToken(segments, 2, 'End')).toBe(3);
    expect(nextToken(segments, 2, 'Home')).toBe(0);
    expect(nextToken(segments, 2, 'a')).toBeNull();
    expect(nextToken([], null, 'End')).toBeNull();
  });

  it('list what fired, strongest first', () => {
    expect(strongest(entry([1, 2], [2, 5], [3, 0])).map((item) => item.index)).toEqual([2, 1]);
  });

  it('show their white space only where asked', () => {
    expect(splitSpace(' sea')).toEqual([' ', 'sea']);
    expect(splitSpace('\n\n')).toEqual(['', '\n\n']);
    expect(visibleToken(' a\n')).toBe('·a⏎');
  });
});
