/** A profile while somebody writes it. What the page cannot show (conditions, scopes, layers) is kept and sent back. */
import type {
  FeatureSummary,
  Operation,
  Profile,
  ProfileChange,
  ProfileDetail,
  ProfileRequest,
} from '#lib/api/types.ts';
import { withOperation } from './operations.ts';
import { legalStrength, steeringRange } from './steering-range.ts';

export type DraftFeature = NonNullable<ProfileRequest['features']>[number];

export const MAX_INTENSITY = 2;

export class ProfileDraft {
  name = $state('');
  description = $state('');
  saeId = $state<string | null>(null);
  intensity = $state(1);
  #features = $state.raw<readonly DraftFeature[]>([]);
  #hasNewFeatures = false;
  readonly id: string | null;
  readonly format: Profile['format'];

  constructor(from: ProfileDetail | null, defaultSaeId: string | null = null) {
    this.id = from?.id ?? null;
    this.format = from?.format ?? 'spec';
    this.saeId = from ? from.sae_id : defaultSaeId;
    if (!from) return;
    this.name = from.name;
    this.description = from.description ?? '';
    this.intensity = from.intensity;
    this.#features = from.features as DraftFeature[];
  }

  get features(): readonly DraftFeature[] {
    return this.#features;
  }

  readonly problem = $derived.by(() => {
    if (!this.name.trim()) return 'It needs a name.';
    if (this.#features.length === 0) return 'It needs a feature.';
    return null;
  });

  /** A feature is in a profile once for each SAE. */
  add(feature: FeatureSummary): void {
    if (this.#features.some(({ index, sae_id }) => index === feature.index && (sae_id ?? this.saeId) === this.saeId))
      return;
    const strength = steeringRange(feature).suggested;
    this.#replace([...this.#features, { index: feature.index, label: feature.label, op: 'add', strength }]);
  }

  remove(at: number): void {
    this.#replace(this.#features.filter((_, index) => index !== at));
  }

  setOperation(at: number, op: Operation): void {
    this.#change(at, (feature) => withOperation(feature, op));
  }

  setNumber(at: number, name: 'strength' | 'value' | 'min' | 'max', to: number): void {
    this.#change(at, (feature) => ({ ...feature, [name]: name === 'strength' ? legalStrength(to) : to }));
  }

  toRequest(): ProfileRequest {
    return { ...this.#head(), sae_id: this.saeId, features: [...this.#features] };
  }

  /** Features only when they were changed: an imported profile keeps every number as it came. */
  toChange(): ProfileChange {
    return { ...this.#head(), ...(this.#hasNewFeatures && { features: [...this.#features] }) };
  }

  #head() {
    return { name: this.name.trim(), description: this.description.trim() || null, intensity: this.intensity };
  }

  #change(at: number, change: (feature: DraftFeature) => DraftFeature): void {
    this.#replace(this.#features.map((feature, index) => (index === at ? change(feature) : feature)));
  }

  #replace(features: readonly DraftFeature[]): void {
    this.#features = features;
    this.#hasNewFeatures = true;
  }
}
