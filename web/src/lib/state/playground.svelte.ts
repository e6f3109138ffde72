/** A conversation steered by several features, each under its own operation, with the sampling that a person chose. */
import type { ChatMessage, ChatRequest, FeatureSummary, ProfileDetail, ProfileRequest } from '#lib/api/types.ts';
import type { Answer } from './answer.svelte.ts';
import { Conversation, type Side } from './conversation.svelte.ts';
import { FeatureList, type ListedFeature } from './feature-list.svelte.ts';
import type { SavedTurn } from './saved-conversations.ts';
import type { LinkedSteering } from './steering-link.ts';

export const TOP_K = 5;
export const TOP_LOGPROBS = 5;

export class Playground extends Conversation {
  /** The SAE whose features are searched, added and read. */
  saeId = $state<string | null>(null);
  temperature = $state(0);
  topP = $state(1);
  maxTokens = $state(160);
  /** null: another one for each question, the same for both answers. */
  seed = $state<number | null>(null);
  #intensity = $state(1);
  #heat = $state.raw<FeatureSummary | null>(null);
  #known = $state.raw<Readonly<Record<string, FeatureSummary>>>({});
  readonly list = new FeatureList([], () => this.resteerSoon());
  readonly #model: () => string | null;

  constructor(model: () => string | null, createAnswer?: () => Answer) {
    super(createAnswer);
    this.#model = model;
  }

  get intensity(): number {
    return this.#intensity;
  }
  /** What tints the tokens: what was chosen, else the first that steers. */
  readonly heat = $derived.by((): FeatureSummary | null => {
    const shown = this.#heat ?? this.list.items.find((item) => this.#isOwn(item));
    if (!shown) return null;
    const known = this.#known[keyOf(this.saeId, shown.index)];
    return { ...(known ?? { index: shown.index, label: shown.label ?? null }), sae_id: this.saeId };
  });
  /** Indices of the features of the shown SAE that steer. */
  readonly steered = $derived(this.list.items.filter((item) => this.#isOwn(item)).map(({ index }) => index));
  /** The last answers' tokens were not asked for the feature that now tints them. */
  readonly isHeatUnread = $derived.by(() => {
    const turn = this.turns.at(-1);
    const heat = this.heat;
    if (!turn || !heat || this.isRunning) return false;
    return [turn.plain.request, turn.steered.request].some((request) => {
      const asked = request?.activations;
      return asked && (asked.sae_id !== this.saeId || !asked.features?.includes(heat.index));
    });
  });

  setIntensity(to: number): void {
    this.#intensity = Math.min(2, Math.max(0, Math.round(to * 100) / 100));
    this.resteerSoon();
  }

  /** null: back to the first that steers. */
  showHeat(feature: FeatureSummary | null): void {
    this.#heat = feature;
  }

  /** What is known of a feature: its label, its peak, a strength that suits it. */
  summaryOf(item: ListedFeature): FeatureSummary {
    const known = this.#known[keyOf(item.sae_id ?? this.saeId, item.index)];
    return known ?? { index: item.index, label: item.label ?? null };
  }

  learn(saeId: string, feature: FeatureSummary): void {
    this.#known = { ...this.#known, [keyOf(saeId, feature.index)]: feature };
  }

  /** A feature that does not say whose it is is the shown SAE's. */
  add(feature: FeatureSummary): void {
    const saeId = feature.sae_id ?? this.saeId;
    if (saeId) this.list.add(feature, saeId, { isNamed: true });
  }

  open({ saeId, features, intensity }: LinkedSteering): void {
    if (saeId) this.saeId = saeId;
    this.#heat = null;
    this.#intensity = intensity;
    this.list.replace(features);
  }

  load(profile: ProfileDetail): void {
    const features = profile.features.map(({ layer: _layer, ...item }) => item as unknown as ListedFeature);
    this.open({
      saeId: profile.sae_id,
      intensity: profile.intensity,
      features: features.map((item) => ({ ...item, sae_id: item.sae_id ?? profile.sae_id })),
    });
  }

  toLink(): LinkedSteering {
    return { saeId: this.saeId, features: [...this.list.items], intensity: this.#intensity };
  }

  toProfile(name: string, description: string): ProfileRequest {
    return {
      name: name.trim(),
      description: description.trim() || null,
      sae_id: this.saeId,
      intensity: this.#intensity,
      features: this.list.items.map((item) => ({ ...item, label: this.summaryOf(item).label })),
    };
  }

  toSaved(): SavedTurn[] {
    return this.turns.map(({ prompt, seed, plain, steered }) => ({
      prompt,
      seed,
      plain: plain.text,
      steered: steered.text,
    }));
  }

  restore(turns: readonly SavedTurn[]): void {
    this.clear();
    for (const { prompt, seed, plain, steered } of turns) {
      const turn = this.addTurn(prompt, seed);
      turn.plain.restore(plain);
      turn.steered.restore(steered);
    }
  }

  protected compose(side: Side, messages: ChatMessage[], seed: number): ChatRequest | null {
    const model = this.#model();
    const items = this.list.items;
    if (!model || (side === 'steered' && items.length === 0)) return null;
    return {
      model,
      messages,
      max_tokens: this.maxTokens,
      temperature: this.temperature,
      ...(this.temperature > 0 && { top_p: this.topP, seed: this.seed ?? seed }),
      logprobs: true,
      top_logprobs: TOP_LOGPROBS,
      steering: side === 'steered' ? this.#steering() : { enabled: false },
      ...(this.saeId && { activations: this.#reading(side, this.saeId) }),
    };
  }

  #steering(): NonNullable<ChatRequest['steering']> {
    return {
      ...(this.saeId && { sae_id: this.saeId }),
      ...(this.#intensity !== 1 && { intensity: this.#intensity }),
      features: this.list.items.map(({ label: _label, sae_id, ...item }) => ({
        ...item,
        ...(sae_id && sae_id !== this.saeId && { sae_id }),
      })) as NonNullable<NonNullable<ChatRequest['steering']>['features']>,
    };
  }

  /** The prompt is the same for both, so it is read once, as the model sees it. */
  #reading(side: Side, saeId: string): NonNullable<ChatRequest['activations']> {
    const features = [...new Set([...(this.heat ? [this.heat.index] : []), ...this.steered])];
    return {
      sae_id: saeId,
      top_k: TOP_K,
      ...(features.length > 0 && { features }),
      ...(side === 'plain' && { prompt: true }),
    };
  }

  #isOwn({ sae_id }: ListedFeature): boolean {
    return (sae_id ?? this.saeId) === this.saeId;
  }
}

function keyOf(saeId: string | null | undefined, index: number): string {
  return `${saeId ?? ''}/${index}`;
}
