import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '#lib/api/errors.ts';
import type { FeatureSummary, Page } from '#lib/api/types.ts';
import { FeatureSearch, type ListFeatures } from './feature-search.svelte.ts';
import { firstFeature } from './first-feature.ts';

const page = (...items: FeatureSummary[]): Page<FeatureSummary> => ({ items, total: items.length, skip: 0, limit: 50 });
const sea: FeatureSummary = { index: 12, label: 'the sea', max_activation: 40 };
const dead: FeatureSummary = { index: 0, label: null, max_activation: 0 };

describe('searching features', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('asks once for what a person typed, when they pause', async () => {
    const list = vi.fn<ListFeatures>().mockResolvedValue(page(sea));
    const search = new FeatureSearch(list);
    for (const text of ['s', 'se', ' sea ']) search.type('demo', text);
    await vi.advanceTimersByTimeAsync(500);
    expect(list).toHaveBeenCalledOnce();
    expect(list.mock.calls[0]?.[1]).toMatchObject({ search: 'sea' });
    expect(search).toMatchObject({ items: [sea], total: 1, isLoading: false, error: null });
  });

  it('never lets an older answer overwrite a newer one', async () => {
    let answerFirst: (value: Page<FeatureSummary>) => void = () => undefined;
    const list = vi.fn<ListFeatures>();
    list.mockReturnValueOnce(new Promise((resolve) => (answerFirst = resolve)));
    list.mockResolvedValueOnce(page(sea));
    const search = new FeatureSearch(list);
    const first = search.search('demo', 'a');
    await search.search('demo', 'b');
    answerFirst(page(dead));
    await first;
    expect(list.mock.calls[0]?.[2].aborted).toBe(true);
    expect(search.items).toEqual([sea]);
  });

  it('says what failed', async () => {
    const search = new FeatureSearch(() => Promise.reject(new ApiError('INTERNAL_ERROR', 'x', 500)));
    await search.search('demo', '');
    expect(search.error?.code).toBe('INTERNAL_ERROR');
    expect(search.isLoading).toBe(false);
  });
});

describe('the first feature', () => {
  const source = (items: FeatureSummary[]) => ({
    listFeatures: async (_sae: string, { suggested = false }: { suggested?: boolean }) =>
      page(...items.filter((item) => !suggested || item.suggested_strength)),
    getFeature: async (_sae: string, index: number) => {
      if (index !== 12) throw new ApiError('INVALID_FEATURE_INDEX', 'x', 400);
      return sea;
    },
  });

  it('is what the server steers already', async () => {
    const steering = { enabled: true, features: [{ index: 12, strength: 25 }] };
    expect(await firstFeature('demo', steering, source([dead]))).toEqual({ feature: sea, strength: 25 });
  });

  it('is another when what the server steers belongs to another SAE or is gone', async () => {
    const elsewhere = { features: [{ index: 12, strength: 25, sae_id: 'other' }] };
    expect((await firstFeature('demo', elsewhere, source([dead, sea]))).strength).toBeUndefined();
    const gone = { features: [{ index: 5, strength: 1 }] };
    expect((await firstFeature('demo', gone, source([sea]))).feature).toBe(sea);
  });

  it('is one with a measured strength, else the first that is labelled and alive, else the first', async () => {
    const measured = { ...sea, index: 99, suggested_strength: 40 };
    expect((await firstFeature('demo', null, source([dead, sea, measured]))).feature).toBe(measured);
    expect((await firstFeature('demo', null, source([dead, sea]))).feature).toBe(sea);
    const digits = { index: 3, label: "'7', '5' · million", density: 0.001, max_activation: 50 };
    const film = { index: 19, label: "'film'", density: 0.001, max_activation: 53 };
    expect((await firstFeature('demo', null, source([dead, digits, film]))).feature).toBe(film);
    expect((await firstFeature('demo', null, source([dead]))).feature).toBe(dead);
    expect((await firstFeature('demo', null, source([]))).feature.index).toBe(0);
  });
});
