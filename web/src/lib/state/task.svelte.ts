/** Something a person asked for that takes a moment: running or not, and how it failed. One at a time. */
import { asApiError, isAbort, type ApiError } from '#lib/api/errors.ts';

export class Task {
  #isRunning = $state(false);
  #error = $state.raw<ApiError | null>(null);

  get isRunning(): boolean {
    return this.#isRunning;
  }
  get error(): ApiError | null {
    return this.#error;
  }

  /** Resolves with what `work` gives, or undefined when it failed, was aborted or one is running already. */
  async run<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.#isRunning) return undefined;
    this.#isRunning = true;
    this.#error = null;
    try {
      return await work();
    } catch (thrown) {
      if (!isAbort(thrown)) this.#error = asApiError(thrown);
      return undefined;
    } finally {
      this.#isRunning = false;
    }
  }

  forget(): void {
    this.#error = null;
  }
}
