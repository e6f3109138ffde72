/** Features of one SAE by label: the newest question wins, an older answer never overwrites it. */
import { asApiError, isAbort, type ApiError } from '#lib/api/errors.ts';
import type { FeatureSummary, Page } from '#lib/api/types.ts';

export type ListFeatures = (
  saeId: string,
  query: { search: string; limit: number },
  signal: AbortSignal,
) => Promise<Page<FeatureSummary>>;

const LIMIT = 50;
const PAUSE_MS = 120;

export class FeatureSearch {
  #items = $state.raw<FeatureSummary[]>([]);
  #total = $state(0);
  #isLoading = $state(false);
  #error = $state.raw<ApiError | null>(null);
  #abort: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #list: ListFeatures;

  constructor(list: ListFeatures) {
    this.#list = list;
  }

  get items(): FeatureSummary[] {
    return this.#items;
  }
  get total(): number {
    return this.#total;
  }
  get isLoading(): boolean {
    return this.#isLoading;
  }
  get error(): ApiError | null {
    return this.#error;
  }

  /** Search once the person pauses typing. */
  type(saeId: string, search: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.search(saeId, search), PAUSE_MS);
  }

  async search(saeId: string, search: string): Promise<void> {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.#isLoading = true;
    try {
      const page = await this.#list(saeId, { search: search.trim(), limit: LIMIT }, abort.signal);
      if (this.#abort !== abort) return;
      this.#items = page.items;
      this.#total = page.total;
      this.#error = null;
    } catch (thrown) {
      if (isAbort(thrown) || this.#abort !== abort) return;
      this.#error = asApiError(thrown);
    }
    this.#isLoading = false;
  }
}
