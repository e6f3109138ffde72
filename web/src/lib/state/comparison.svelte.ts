/**
 * A conversation in which one feature makes the difference: same prompt, seed and sampling on both sides. Moving the
 * slider asks the steered side again.
 */
import type { ChatMessage, ChatRequest, FeatureSummary } from '#lib/api/types.ts';
import type { Answer } from './answer.svelte.ts';
import { Conversation, type Side } from './conversation.svelte.ts';
import { legalStrength, steeringRange } from './steering-range.ts';

export interface Target {
  model: string;
  saeId: string | null;
}

const TOP_K = 5;
const WARM_TEMPERATURE = 0.8;

export class Comparison extends Conversation {
  isDeterministic = $state(true);
  maxTokens = $state(120);
  #feature = $state.raw<FeatureSummary | null>(null);
  #strength = $state(0);
  #range = $derived(steeringRange(this.#feature));
  readonly #target: () => Target | null;

  constructor(target: () => Target | null, createAnswer?: () => Answer) {
    super(createAnswer);
    this.#target = target;
  }

  get feature(): FeatureSummary | null {
    return this.#feature;
  }
  get strength(): number {
    return this.#strength;
  }
  /** The slider's reach: what is usable for the feature, wider when a person typed more. */
  get range(): { limit: number; step: number; suggested: number } {
    return { ...this.#range, limit: Math.max(this.#range.limit, Math.abs(this.#strength)) };
  }

  /** Steer with another feature; without a strength, with one that suits it. */
  choose(feature: FeatureSummary, strength?: number): void {
    this.#feature = feature;
    this.#strength = strength ?? steeringRange(feature).suggested;
    this.resteerSoon();
  }

  /** While the slider moves: shown at once, asked when it rests. */
  setStrength(value: number): void {
    this.#strength = legalStrength(value);
    this.resteerSoon();
  }

  protected compose(side: Side, messages: ChatMessage[], seed: number): ChatRequest | null {
    const target = this.#target();
    if (!target || (side === 'steered' && (!target.saeId || !this.#feature))) return null;
    return {
      model: target.model,
      messages,
      max_tokens: this.maxTokens,
      ...(this.isDeterministic ? { temperature: 0 } : { temperature: WARM_TEMPERATURE, seed }),
      ...this.#steering(side, target.saeId),
    };
  }

  #steering(side: Side, saeId: string | null): Pick<ChatRequest, 'steering' | 'activations'> {
    if (!saeId) return { steering: { enabled: false } };
    const feature = this.#feature;
    return {
      steering:
        side === 'steered' && feature
          ? { sae_id: saeId, features: [{ index: feature.index, strength: this.#strength }] }
          : { enabled: false },
      activations: { sae_id: saeId, top_k: TOP_K, ...(feature && { features: [feature.index] }) },
    };
  }
}
