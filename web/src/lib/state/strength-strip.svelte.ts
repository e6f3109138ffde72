/** One prompt, steered by one feature at several strengths at once: the strength is the only difference. */
import type { ChatRequest } from '#lib/api/types.ts';
import { Answer } from './answer.svelte.ts';
import { legalStrength } from './steering-range.ts';

export const FACTORS = [-1, 0, 0.5, 1] as const;

export interface StripCell {
  factor: number;
  strength: number;
  answer: Answer;
}

export interface StripQuestion {
  model: string;
  saeId: string;
  index: number;
  prompt: string;
  /** What the factors are of. */
  strength: number;
  maxTokens: number;
}

export class StrengthStrip {
  #cells = $state.raw<readonly StripCell[]>([]);
  readonly #createAnswer: () => Answer;

  constructor(createAnswer: () => Answer = () => new Answer()) {
    this.#createAnswer = createAnswer;
  }

  get cells(): readonly StripCell[] {
    return this.#cells;
  }
  readonly isRunning = $derived(this.#cells.some(({ answer }) => answer.isRunning));

  async run(question: StripQuestion): Promise<void> {
    this.stop();
    this.#cells = FACTORS.map((factor) => ({
      factor,
      strength: legalStrength(factor * question.strength),
      answer: this.#createAnswer(),
    }));
    await Promise.all(this.#cells.map(({ answer, strength }) => answer.run(requestOf(question, strength))));
  }

  stop(): void {
    for (const { answer } of this.#cells) answer.stop();
  }

  clear(): void {
    this.stop();
    this.#cells = [];
  }
}

/** Strength 0 is the plain model, whatever the server's active configuration is. */
function requestOf({ model, saeId, index, prompt, maxTokens }: StripQuestion, strength: number): ChatRequest {
  return {
    model,
    messages: [{ role: 'user', content: prompt }],
    max_tokens: maxTokens,
    temperature: 0,
    steering: strength === 0 ? { enabled: false } : { sae_id: saeId, features: [{ index, strength }] },
    activations: { sae_id: saeId, top_k: 0, features: [index] },
  };
}
