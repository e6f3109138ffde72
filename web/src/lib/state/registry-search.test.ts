import { describe, expect, it, vi } from 'vitest';
import type { Page, RegistryEntry } from '#lib/api/types.ts';
import { RegistrySearch, type SearchRegistry } from './registry-search.svelte.ts';

const entry = (at: number): RegistryEntry => ({
  release: 'r',
  sae_id: String(at),
  repo_id: 'o/r',
  path: String(at),
  model: 'm',
});
const page = (from: number, count: number, total: number): Page<RegistryEntry> => ({
  items: Array.from({ length: count }, (_, at) => entry(from + at)),
  total,
  skip: from,
  limit: 100,
});

describe('searching the registry', () => {
  it('grows page by page until everything is there', async () => {
    const ask = vi.fn<SearchRegistry>(async ({ skip }) => page(skip, Math.min(100, 150 - skip), 150));
    const search = new RegistrySearch(ask);
    await search.more(); // nothing was searched yet
    await search.search(' gpt ');
    await Promise.all([search.more(), search.more()]); // one page, asked for once
    await search.more();
    expect(search.items).toHaveLength(150);
    expect(ask.mock.calls.map(([{ search: words, skip }]) => [words, skip])).toEqual([
      ['gpt', 0],
      ['gpt', 100],
    ]);
  });

  it('gives the newest question’s answer, however late an older one comes', async () => {
    const answers: ((page: Page<RegistryEntry>) => void)[] = [];
    const search = new RegistrySearch(() => new Promise((resolve) => answers.push(resolve)));
    const [old, newest] = [search.search('a'), search.search('b')];
    answers[1]?.(page(0, 1, 1));
    answers[0]?.(page(0, 9, 9));
    await Promise.all([old, newest]);
    expect(search.total).toBe(1);
    expect(search.isLoading).toBe(false);
  });

  it('waits until a person pauses, and says how it failed', async () => {
    vi.useFakeTimers();
    const ask = vi.fn<SearchRegistry>(() => Promise.reject(new Error('gone')));
    const search = new RegistrySearch(ask);
    search.type('a');
    search.type('ab');
    await vi.advanceTimersByTimeAsync(400);
    expect(ask).toHaveBeenCalledOnce();
    expect(search.error?.code).toBe('NETWORK_ERROR');
    vi.useRealTimers();
  });
});
