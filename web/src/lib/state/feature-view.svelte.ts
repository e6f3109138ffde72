/** One feature in detail; its label changes on the page at once and goes back when the server refuses. */
import { asApiError, isAbort, type ApiError } from '#lib/api/errors.ts';
import type { FeatureDetail, FeatureSummary } from '#lib/api/types.ts';

export interface FeatureViewSource {
  getFeature: (saeId: string, index: number, signal: AbortSignal) => Promise<FeatureDetail>;
  setLabel: (saeId: string, index: number, label: string | null) => Promise<FeatureSummary>;
}

export type OnLabel = (saeId: string, index: number, label: string | null) => void;

export class FeatureView {
  #detail = $state.raw<FeatureDetail | null>(null);
  #error = $state.raw<ApiError | null>(null);
  #abort: AbortController | null = null;
  readonly #source: FeatureViewSource;
  readonly #onLabel: OnLabel;

  /** `onLabel` hears of every change of a label, also of one taken back. */
  constructor(source: FeatureViewSource, onLabel: OnLabel = () => undefined) {
    this.#source = source;
    this.#onLabel = onLabel;
  }

  get detail(): FeatureDetail | null {
    return this.#detail;
  }
  get error(): ApiError | null {
    return this.#error;
  }

  async open(saeId: string, index: number): Promise<void> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.#error = null;
    if (!this.#isOpen(saeId, index)) this.#detail = null;
    try {
      const detail = await this.#source.getFeature(saeId, index, abort.signal);
      if (this.#abort === abort) this.#detail = detail;
    } catch (thrown) {
      if (isAbort(thrown) || this.#abort !== abort) return;
      this.#error = asApiError(thrown);
    }
  }

  /** null takes the label away. Throws an ApiError when the server refuses; the old label is back then. */
  async rename(saeId: string, index: number, label: string | null, before: string | null): Promise<void> {
    this.#show(saeId, index, label);
    try {
      await this.#source.setLabel(saeId, index, label);
    } catch (thrown) {
      this.#show(saeId, index, before);
      throw asApiError(thrown);
    }
  }

  #show(saeId: string, index: number, label: string | null): void {
    if (this.#detail && this.#isOpen(saeId, index)) this.#detail = { ...this.#detail, label };
    this.#onLabel(saeId, index, label);
  }

  #isOpen(saeId: string, index: number): boolean {
    return this.#detail?.sae_id === saeId && this.#detail.index === index;
  }
}
