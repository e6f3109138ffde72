import { describe, expect, it, vi } from 'vitest';
import type { ChatEvent } from '#lib/api/chat-stream.ts';
import { ApiError } from '#lib/api/errors.ts';
import type { ChatRequest, FeatureDetail, FeatureSummary, Page } from '#lib/api/types.ts';
import { Answer } from './answer.svelte.ts';
import { FeatureIndex, type ListPage } from './feature-index.svelte.ts';
import { linesOf, storedContexts, summarise } from './feature-reading.ts';
import { FeatureView } from './feature-view.svelte.ts';
import { FACTORS, StrengthStrip } from './strength-strip.svelte.ts';
import { TextReader, type ReadText } from './text-reader.svelte.ts';

/** A server whose SAEs hold this many labels. */
function serverOf(totals: Record<string, number>) {
  return vi.fn<ListPage>(async (saeId, { skip, limit, search }): Promise<Page<FeatureSummary>> => {
    const total = search ? 0 : (totals[saeId] ?? 0);
    const length = Math.max(0, Math.min(limit, total - skip));
    const items = Array.from({ length }, (_, at) => ({ index: skip + at, label: `${saeId} ${skip + at}` }));
    return { items, total, skip, limit };
  });
}
const sources = [
  { id: 'a', size: 1000 },
  { id: 'b', size: null },
];

describe('the list of features', () => {
  it('is as long as all SAEs together, and fetches each page when it is seen, once', async () => {
    const list = serverOf({ a: 450, b: 20_000 });
    const index = new FeatureIndex(list);
    await index.search(sources, '');
    expect(index.rows).toHaveLength(20_450);
    expect(list).toHaveBeenCalledTimes(2);
    expect(index.rows[300]?.feature).toBeNull();
    await Promise.all([index.show(440, 460), index.show(440, 460)]); // the end of one and the beginning of the next
    expect(list).toHaveBeenCalledTimes(3);
    expect(index.rows[449]).toMatchObject({ saeId: 'a', feature: { index: 449 } });
    await index.show(20_440, 20_460);
    expect(index.rows.at(-1)).toMatchObject({ saeId: 'b', feature: { index: 19_999 } });
    expect(index.rows.every(({ feature }, at) => !feature || feature.index === (at < 450 ? at : at - 450))).toBe(true);
  });

  it('finds a feature without a label by its index, unless the SAE is known to be smaller', async () => {
    const index = new FeatureIndex(serverOf({}));
    await index.search(sources, ' #999 ');
    expect(index.rows.map(({ saeId, feature }) => [saeId, feature?.index])).toEqual([
      ['a', 999],
      ['b', 999],
    ]);
    await index.search(sources, '1000');
    expect(index.rows.map(({ saeId }) => saeId)).toEqual(['b']);
  });

  it('never lets an older answer overwrite a newer one', async () => {
    const answers: ((page: Page<FeatureSummary>) => void)[] = [];
    const index = new FeatureIndex(() => new Promise((resolve) => answers.push(resolve)));
    const one = [{ id: 'a', size: null }];
    const [old, newest] = [index.search(one, 'x'), index.search(one, 'y')];
    answers[1]?.({ items: [{ index: 7, label: 'y' }], total: 1, skip: 0, limit: 200 });
    answers[0]?.({ items: [], total: 0, skip: 0, limit: 200 });
    await Promise.all([old, newest]);
    expect(index.rows.map(({ feature }) => feature?.index)).toEqual([7]);
    expect(index.isLoading).toBe(false);
  });

  it('says what failed, and asks for a page again that did not come', async () => {
    const list = serverOf({ a: 900 });
    const index = new FeatureIndex(list);
    await index.search([{ id: 'a', size: null }], '');
    list.mockRejectedValueOnce(new ApiError('INTERNAL_ERROR', 'x', 500));
    await index.show(500, 510);
    expect(index.error?.code).toBe('INTERNAL_ERROR');
    await index.show(500, 510);
    expect(index.error).toBeNull();
    expect(index.rows[505]?.feature?.index).toBe(505);
    index.relabel('a', 505, 'tides');
    expect(index.rows[505]?.feature?.label).toBe('tides');
  });

  it('asks once for what was typed, when the person pauses', async () => {
    vi.useFakeTimers();
    const list = serverOf({ a: 1 });
    const index = new FeatureIndex(list);
    for (const words of ['s', 'se', 'sea']) index.type([{ id: 'a', size: null }], words);
    await vi.advanceTimersByTimeAsync(500);
    expect(list.mock.calls.map(([, { search }]) => search)).toEqual(['sea']);
    vi.useRealTimers();
  });
});

describe('a feature’s label', () => {
  const detail = { index: 3, sae_id: 'a', label: 'old' } as FeatureDetail;

  it('changes at once and comes back when the server refuses', async () => {
    const heard: (string | null)[] = [];
    let refuse: (error: Error) => void = () => undefined;
    const setLabel = vi.fn(() => new Promise<FeatureSummary>((_, reject) => (refuse = reject)));
    const view = new FeatureView({ getFeature: async () => detail, setLabel }, (_sae, _index, label) =>
      heard.push(label),
    );
    await view.open('a', 3);
    const renaming = view.rename('a', 3, 'new', 'old');
    expect(view.detail?.label).toBe('new');
    refuse(new ApiError('FORBIDDEN', 'no', 403));
    await expect(renaming).rejects.toMatchObject({ code: 'FORBIDDEN' });
    expect(view.detail?.label).toBe('old');
    expect(heard).toEqual(['new', 'old']);
  });

  it('of another feature leaves the open one alone', async () => {
    const view = new FeatureView({ getFeature: async () => detail, setLabel: async () => ({ index: 4, label: 'x' }) });
    await view.open('a', 3);
    await view.rename('a', 4, 'x', null);
    expect(view.detail?.label).toBe('old');
  });

  it('is not that of a feature one has left', async () => {
    const answers: ((detail: FeatureDetail) => void)[] = [];
    const view = new FeatureView({
      getFeature: () => new Promise((resolve) => answers.push(resolve)),
      setLabel: async () => ({ index: 3, label: null }),
    });
    const [first, second] = [view.open('a', 3), view.open('a', 4)];
    answers[1]?.({ ...detail, index: 4 });
    answers[0]?.(detail);
    await Promise.all([first, second]);
    expect(view.detail?.index).toBe(4);
  });
});

describe('what a feature does on texts', () => {
  const entry = (token: string, value: number, index = 5) => ({
    position: 0,
    token_id: 0,
    token,
    sae_id: 'a',
    features: value > 0 ? [{ index, value, label: null }] : [],
  });

  it('is counted, without the first token of each, and the strongest text comes first', async () => {
    const texts: Record<string, number[]> = { weak: [900, 0, 1], strong: [900, 12, 6, 0], none: [900, 0] };
    const read = vi.fn<ReadText>(async ({ text }) => ({
      tokens: (texts[text] ?? []).map((value) => entry('t', value)),
    }));
    const reader = new TextReader(read);
    await reader.run('a', 5, ['weak', 'none', 'strong']);
    expect(reader.reading).toMatchObject({ tokens: 6, fired: 3, max: 12 });
    expect(reader.reading?.mean).toBeCloseTo(19 / 3);
    expect(reader.reading?.contexts.map(({ values }) => values)).toEqual([
      [0, 12, 6, 0],
      [0, 0, 1],
      [0, 0],
    ]);
    expect(reader.reading?.bins.map(({ count }) => count)).toEqual([0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    expect(read.mock.calls[0]?.[0]).toMatchObject({ sae_id: 'a', features: [5], top_k: 0 });
  });

  it('of an older question is dropped, and a failure is said', async () => {
    const answers: (() => void)[] = [];
    const reader = new TextReader(
      () => new Promise((resolve) => answers.push(() => resolve({ tokens: [entry('first', 9), entry('t', 1)] }))),
    );
    const old = reader.run('a', 5, ['x']);
    const newest = reader.run('a', 6, ['y']);
    answers.forEach((answer) => answer());
    await Promise.all([old, newest]);
    expect(reader.reading?.fired).toBe(0); // it fired for 5, and 6 was asked for
    const failing = new TextReader(() => Promise.reject(new ApiError('MODEL_NOT_LOADED', 'x', 503)));
    await failing.run('a', 5, ['x']);
    expect(failing).toMatchObject({ isRunning: false, reading: null, error: { code: 'MODEL_NOT_LOADED' } });
  });

  it('is nothing where there are no texts', () => {
    expect(summarise([])).toEqual({ contexts: [], tokens: 0, fired: 0, mean: 0, max: 0, bins: [] });
    expect(linesOf(' a \n\n b\n')).toEqual(['a', 'b']);
  });

  it('is read from a labels file where it has the form of a context', () => {
    const good = { tokens: ['a', 'b'], values: [0, 2], peak: 1 };
    expect(storedContexts([good, null, 'x', { tokens: ['a'], values: [] }, { tokens: [1], values: [1] }])).toEqual([
      { tokens: ['a', 'b'], values: [0, 2] },
    ]);
  });
});

describe('one prompt at several strengths', () => {
  it('streams all at once; strength 0 is the plain model', async () => {
    const asked: ChatRequest[] = [];
    const stream = async function* (body: ChatRequest): AsyncGenerator<ChatEvent> {
      asked.push(body);
      await new Promise((resolve) => setTimeout(resolve));
      expect(asked).toHaveLength(FACTORS.length); // none waits for another
      yield { type: 'text', text: 'x' };
    };
    const strip = new StrengthStrip(() => new Answer(stream, (flush) => flush()));
    const question = { model: 'm', saeId: 'a', index: 5, prompt: 'Hi', strength: 10, maxTokens: 20 };
    const running = strip.run(question);
    expect(strip.isRunning).toBe(true);
    await running;
    expect(strip.isRunning).toBe(false);
    expect(strip.cells.map(({ strength, answer }) => [strength, answer.text])).toEqual(
      [-10, 0, 5, 10].map((strength) => [strength === 0 ? 0 : strength, 'x']),
    );
    expect(asked.map(({ steering }) => steering?.features?.[0]?.strength ?? steering?.enabled)).toEqual([
      -10,
      false,
      5,
      10,
    ]);
    strip.clear();
    expect(strip.cells).toEqual([]);
  });
});
