/** Reads texts for one feature, a few at once; a newer question ends the older one. */
import { asApiError, isAbort, type ApiError } from '#lib/api/errors.ts';
import type { ActivationEntry } from '#lib/api/types.ts';
import { contextOf, summarise, type Context, type Reading } from './feature-reading.ts';

export type ReadText = (
  body: { text: string; sae_id: string; features: number[]; top_k: number },
  signal: AbortSignal,
) => Promise<{ tokens: ActivationEntry[] }>;

const AT_ONCE = 3;

export class TextReader {
  #reading = $state.raw<Reading | null>(null);
  #error = $state.raw<ApiError | null>(null);
  #isRunning = $state(false);
  #abort: AbortController | null = null;
  readonly #read: ReadText;

  constructor(read: ReadText) {
    this.#read = read;
  }

  get reading(): Reading | null {
    return this.#reading;
  }
  get error(): ApiError | null {
    return this.#error;
  }
  get isRunning(): boolean {
    return this.#isRunning;
  }

  async run(saeId: string, index: number, texts: readonly string[]): Promise<void> {
    this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    this.#isRunning = true;
    this.#error = null;
    const contexts: Context[] = [];
    const waiting = [...texts];
    const work = async () => {
      for (let text = waiting.shift(); text !== undefined; text = waiting.shift()) {
        const body = { text, sae_id: saeId, features: [index], top_k: 0 };
        const { tokens } = await this.#read(body, abort.signal);
        contexts.push(contextOf(tokens, index));
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      if (this.#abort === abort) this.#reading = summarise(contexts);
    } catch (thrown) {
      waiting.length = 0;
      if (this.#abort !== abort) return;
      if (!isAbort(thrown)) this.#error = asApiError(thrown);
    }
    if (this.#abort === abort) this.#isRunning = false;
  }

  stop(): void {
    this.#abort?.abort();
    this.#abort = null;
    this.#isRunning = false;
  }

  /** Another feature: what was read says nothing of it. */
  clear(): void {
    this.stop();
    this.#reading = null;
    this.#error = null;
  }
}
