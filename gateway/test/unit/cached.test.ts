import { describe, expect, it } from 'vitest';
import { cached } from '../../src/storage/cached.ts';

const soon = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a cached value', () => {
  it('is loaded once for many readers, and again when it is old or invalid', async () => {
    let loads = 0;
    const value = cached(30, async () => ++loads);
    expect(await Promise.all([value.get(), value.get()])).toEqual([1, 1]);
    value.invalidate();
    expect(await value.get()).toBe(2);
    await soon(40);
    expect(await value.get()).toBe(3);
  });

  it('stands while loading fails, and a failure is an error only where there never was one', async () => {
    let answer: () => Promise<string> = async () => Promise.reject(new Error('away'));
    const value = cached(5, () => answer());
    await expect(value.get()).rejects.toThrow('away');
    answer = async () => 'first';
    expect(await value.get()).toBe('first');
    answer = async () => Promise.reject(new Error('away'));
    await soon(10);
    expect(await value.get()).toBe('first');
    answer = async () => 'second';
    await soon(10);
    expect(await value.get()).toBe('second');
  });

  it('stands while loading hangs: one reader waits a moment, the others not at all', async () => {
    let release: (text: string) => void = () => undefined;
    let answer: () => Promise<string> = async () => 'first';
    let loads = 0;
    const value = cached(5, () => (loads++, answer()), 50);
    await value.get();
    answer = () => new Promise((resolve) => (release = resolve));
    await soon(10);
    expect(await value.get()).toBe('first');
    for (let n = 0; n < 3; n += 1) {
      await soon(6);
      const begun = performance.now();
      expect(await value.get()).toBe('first');
      expect(performance.now() - begun).toBeLessThan(30);
    }
    expect(loads).toBe(2);
    release('second');
    await soon(10);
    answer = async () => 'third';
    expect(await value.get()).toBe('third');
  });
});
