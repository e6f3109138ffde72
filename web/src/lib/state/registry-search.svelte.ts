/** A long list that grows as one scrolls: the newest question wins, the next page is asked for once. */
import { asApiError, isAbort, type ApiError } from '#lib/api/errors.ts';
import type { Page, RegistryEntry } from '#lib/api/types.ts';

export type SearchRegistry = (
  query: { search: string; skip: number; limit: number },
  signal: AbortSignal,
) => Promise<Page<RegistryEntry>>;

const LIMIT = 100;
const PAUSE_MS = 150;

export class RegistrySearch {
  #items = $state.raw<readonly RegistryEntry[]>([]);
  #total = $state<number | null>(null);
  #error = $state.raw<ApiError | null>(null);
  #isLoading = $state(false);
  #search = '';
  #abort: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #ask: SearchRegistry;

  constructor(ask: SearchRegistry) {
    this.#ask = ask;
  }

  get items(): readonly RegistryEntry[] {
    return this.#items;
  }
  /** Of all that match; null before the first answer. */
  get total(): number | null {
    return this.#total;
  }
  get error(): ApiError | null {
    return this.#error;
  }
  get isLoading(): boolean {
    return this.#isLoading;
  }

  /** Search once the person pauses typing. */
  type(search: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.search(search), PAUSE_MS);
  }

  async search(search: string): Promise<void> {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#search = search.trim();
    await this.#load(0);
  }

  /** The next page, where there is one and none is on its way. */
  async more(): Promise<void> {
    if (this.#isLoading || this.#total === null || this.#items.length >= this.#total) return;
    await this.#load(this.#items.length);
  }

  async #load(skip: number): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    this.#isLoading = true;
    try {
      const page = await this.#ask({ search: this.#search, skip, limit: LIMIT }, abort.signal);
      if (this.#abort !== abort) return;
      this.#items = skip === 0 ? page.items : [...this.#items, ...page.items];
      this.#total = page.total;
      this.#error = null;
    } catch (thrown) {
      if (isAbort(thrown) || this.#abort !== abort) return;
      this.#error = asApiError(thrown);
    }
    this.#isLoading = false;
  }
}
