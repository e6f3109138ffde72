/**
 * The labels of several SAEs as one long list of known length: the first page of each tells how long it is, the others are
 * fetched when their rows come into view. The newest question wins.
 */
import { asApiError, isAbort, type ApiError } from '#lib/api/errors.ts';
import type { FeatureSummary, Page } from '#lib/api/types.ts';

export interface FeatureSource {
  id: string;
  /** How many features it has, where that is known. */
  size: number | null;
}

export interface FeatureRow {
  saeId: string;
  /** In the list of its SAE; −1 for one that has no label and was asked for by its index. */
  position: number;
  /** null until its page has come. */
  feature: FeatureSummary | null;
}

export type ListPage = (
  saeId: string,
  query: { search: string; skip: number; limit: number },
  signal: AbortSignal,
) => Promise<Page<FeatureSummary>>;

const PAGE = 200;
const PAUSE_MS = 80;

export class FeatureIndex {
  #rows = $state.raw<readonly FeatureRow[]>([]);
  #isLoading = $state(false);
  #isAnswered = $state(false);
  #error = $state.raw<ApiError | null>(null);
  #words = '';
  #starts = new Map<string, number>();
  #asked = new Set<string>();
  #abort = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #list: ListPage;

  constructor(list: ListPage) {
    this.#list = list;
  }

  get rows(): readonly FeatureRow[] {
    return this.#rows;
  }
  get isLoading(): boolean {
    return this.#isLoading;
  }
  /** Whether any question was answered yet. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }
  get error(): ApiError | null {
    return this.#error;
  }

  /** Search once the person pauses typing. */
  type(sources: readonly FeatureSource[], words: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.search(sources, words), PAUSE_MS);
  }

  async search(sources: readonly FeatureSource[], words: string): Promise<void> {
    clearTimeout(this.#timer);
    this.#abort.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.#words = words.trim();
    this.#isLoading = true;
    try {
      const query = { search: this.#words.replace(/^#(?=\d+$)/, ''), skip: 0, limit: PAGE };
      const pages = await Promise.all(sources.map(({ id }) => this.#list(id, query, abort.signal)));
      if (this.#abort !== abort) return;
      this.#asked = new Set();
      this.#starts = new Map();
      const rows: FeatureRow[] = [];
      sources.forEach((source, at) => {
        const page = pages[at];
        if (!page) return;
        const byIndex = this.#byIndex(source, page.items);
        if (byIndex) rows.push({ saeId: source.id, position: -1, feature: byIndex });
        this.#starts.set(source.id, rows.length);
        for (let position = 0; position < page.total; position += 1) {
          rows.push({ saeId: source.id, position, feature: page.items[position] ?? null });
        }
      });
      this.#rows = rows;
      this.#error = null;
      this.#isAnswered = true;
    } catch (thrown) {
      if (isAbort(thrown) || this.#abort !== abort) return;
      this.#error = asApiError(thrown);
    }
    this.#isLoading = false;
  }

  /** Rows `first` to `last` can be seen: pages of them that are missing are fetched, each once. */
  async show(first: number, last: number): Promise<void> {
    const wanted = new Map<string, { saeId: string; page: number }>();
    for (const { saeId, position, feature } of this.#rows.slice(Math.max(0, first), last + 1)) {
      if (feature) continue;
      const page = Math.floor(position / PAGE);
      const key = `${page}:${saeId}`;
      if (!this.#asked.has(key)) wanted.set(key, { saeId, page });
    }
    await Promise.all([...wanted].map(([key, { saeId, page }]) => this.#fetch(key, saeId, page)));
  }

  /** The label was changed on this page: the list says so at once. */
  relabel(saeId: string, index: number, label: string | null): void {
    this.#rows = this.#rows.map((row) =>
      row.saeId === saeId && row.feature?.index === index ? { ...row, feature: { ...row.feature, label } } : row,
    );
  }

  /** A typed number is an index too, whether or not there is a label for it. */
  #byIndex({ size }: FeatureSource, found: readonly FeatureSummary[]): FeatureSummary | null {
    const index = /^#?\d{1,9}$/.test(this.#words) ? Number(this.#words.replace('#', '')) : -1;
    if (index < 0 || (size !== null && index >= size) || found.some((feature) => feature.index === index)) return null;
    return { index, label: null };
  }

  async #fetch(key: string, saeId: string, page: number): Promise<void> {
    const abort = this.#abort;
    this.#asked.add(key);
    const query = { search: this.#words.replace(/^#(?=\d+$)/, ''), skip: page * PAGE, limit: PAGE };
    try {
      const { items } = await this.#list(saeId, query, abort.signal);
      if (this.#abort !== abort) return;
      const from = (this.#starts.get(saeId) ?? 0) + query.skip;
      const rows = [...this.#rows];
      items.forEach((feature, at) => {
        const row = rows[from + at];
        if (row?.saeId === saeId) rows[from + at] = { ...row, feature };
      });
      this.#rows = rows;
      this.#error = null;
    } catch (thrown) {
      if (isAbort(thrown) || this.#abort !== abort) return;
      this.#asked.delete(key); // scrolling on asks again
      this.#error = asApiError(thrown);
    }
  }
}
