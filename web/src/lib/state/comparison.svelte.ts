/**
 * Two conversations with one person: the model as it is, and the model steered by one feature. Both get the same
 * prompt, seed and sampling, so the feature is the only difference. Moving the slider asks the steered side again.
 */
import type { ChatMessage, ChatRequest, FeatureSummary } from '#lib/api/types.ts';
import { Answer } from './answer.svelte.ts';
import { legalStrength, steeringRange } from './steering-range.ts';

export interface Target {
  model: string;
  saeId: string | null;
}

export interface Turn {
  id: number;
  prompt: string;
  seed: number;
  plain: Answer;
  steered: Answer;
}

export type Side = 'plain' | 'steered';

const TOP_K = 5;
const WARM_TEMPERATURE = 0.8;
const SETTLE_MS = 250;

export class Comparison {
  turns = $state<Turn[]>([]);
  draft = $state('');
  isDeterministic = $state(true);
  maxTokens = $state(120);
  #feature = $state.raw<FeatureSummary | null>(null);
  #strength = $state(0);
  #range = $derived(steeringRange(this.#feature));
  #settling: ReturnType<typeof setTimeout> | undefined;
  #lastId = 0;
  readonly #target: () => Target | null;
  readonly #createAnswer: () => Answer;

  constructor(target: () => Target | null, createAnswer: () => Answer = () => new Answer()) {
    this.#target = target;
    this.#createAnswer = createAnswer;
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
  readonly isRunning = $derived(this.turns.some((turn) => turn.plain.isRunning || turn.steered.isRunning));

  /** Steer with another feature; without a strength, with one that suits it. */
  choose(feature: FeatureSummary, strength?: number): void {
    this.#feature = feature;
    this.#strength = strength ?? steeringRange(feature).suggested;
    this.#resteerSoon();
  }

  /** While the slider moves: shown at once, asked when it rests. */
  setStrength(value: number): void {
    this.#strength = legalStrength(value);
    this.#resteerSoon();
  }

  send(): void {
    const prompt = this.draft.trim();
    if (!prompt || this.isRunning || !this.#target()) return;
    this.draft = '';
    this.#lastId += 1;
    const turn: Turn = {
      id: this.#lastId,
      prompt,
      seed: Math.floor(Math.random() * 2 ** 31),
      plain: this.#createAnswer(),
      steered: this.#createAnswer(),
    };
    this.turns.push(turn);
    this.#ask(turn, 'plain');
    this.#ask(turn, 'steered');
  }

  retry(turn: Turn, side?: Side): void {
    if (side !== 'steered') this.#ask(turn, 'plain');
    if (side !== 'plain') this.#ask(turn, 'steered');
  }

  stop(): void {
    clearTimeout(this.#settling);
    for (const turn of this.turns) {
      turn.plain.stop();
      turn.steered.stop();
    }
  }

  clear(): void {
    this.stop();
    this.turns = [];
  }

  /** What a side of a turn sends; of the last turn, or of a draft when nothing was sent yet. */
  request(side: Side, turn?: Turn): ChatRequest | null {
    const target = this.#target();
    if (!target) return null;
    const prompt = turn?.prompt ?? this.draft.trim();
    return {
      model: target.model,
      messages: [...this.#history(side, turn), { role: 'user', content: prompt }],
      max_tokens: this.maxTokens,
      ...(this.isDeterministic ? { temperature: 0 } : { temperature: WARM_TEMPERATURE, seed: turn?.seed ?? 0 }),
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

  #history(side: Side, until?: Turn): ChatMessage[] {
    const messages: ChatMessage[] = [];
    for (const turn of this.turns) {
      if (turn.id === until?.id) break;
      const answer = turn[side].text || turn.plain.text;
      if (!answer) continue;
      messages.push({ role: 'user', content: turn.prompt }, { role: 'assistant', content: answer });
    }
    return messages;
  }

  #ask(turn: Turn, side: Side): void {
    if (side === 'steered' && (!this.#target()?.saeId || !this.#feature)) return;
    const request = this.request(side, turn);
    if (request) void turn[side].run(request);
  }

  #resteerSoon(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      const turn = this.turns.at(-1);
      if (turn && turn.steered.request && !this.#isAnswered(turn)) this.#ask(turn, 'steered');
    }, SETTLE_MS);
  }

  #isAnswered(turn: Turn): boolean {
    const asked = turn.steered.request?.steering?.features?.[0];
    const isSame = asked?.index === this.#feature?.index && asked?.strength === this.#strength;
    return isSame && turn.steered.status !== 'error';
  }
}
