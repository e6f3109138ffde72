import { describe, expect, it } from 'vitest';
import { legalStrength, steeringRange } from './steering-range.ts';

const feature = (max_activation: number | null, suggested_strength?: number) => ({
  index: 1,
  label: 'x',
  max_activation,
  ...(suggested_strength !== undefined && { suggested_strength }),
});

describe("a feature's range", () => {
  it('reaches one and a half times its highest activation, rounded up to a round number', () => {
    expect(steeringRange(feature(41.7))).toEqual({ limit: 80, step: 0.5, suggested: 31.5 });
    expect(steeringRange(feature(3.2))).toMatchObject({ limit: 5, step: 0.05 });
  });

  it('never passes the law of ±300 and never shrinks to nothing', () => {
    expect(steeringRange(feature(5000))).toMatchObject({ limit: 300, suggested: 300 });
    expect(steeringRange(feature(0.01)).limit).toBe(1);
  });

  it('has a middle way for a feature that nobody measured', () => {
    expect(steeringRange(feature(null))).toMatchObject({ limit: 30, suggested: 10 });
    expect(steeringRange(null).limit).toBe(30);
  });

  it('begins at a strength that somebody measured', () => {
    expect(steeringRange(feature(20, -40))).toMatchObject({ limit: 80, suggested: -40 });
  });
});

describe('a typed strength', () => {
  it('is made legal', () => {
    expect(legalStrength(9999)).toBe(300);
    expect(legalStrength(-9999)).toBe(-300);
    expect(legalStrength(1.23456)).toBe(1.23);
    expect(legalStrength(Number.NaN)).toBe(0);
  });
});
