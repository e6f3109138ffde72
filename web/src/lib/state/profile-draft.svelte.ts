/** A profile while somebody writes it. What the page cannot show (layers, say) is kept and sent back. */
import type { FeatureSummary, Profile, ProfileChange, ProfileDetail, ProfileRequest } from '#lib/api/types.ts';
import { FeatureList, type ListedFeature } from './feature-list.svelte.ts';

export const MAX_INTENSITY = 2;

export class ProfileDraft {
  name = $state('');
  description = $state('');
  saeId = $state<string | null>(null);
  intensity = $state(1);
  readonly list: FeatureList;
  readonly id: string | null;
  readonly format: Profile['format'];

  constructor(from: ProfileDetail | null, defaultSaeId: string | null = null) {
    this.id = from?.id ?? null;
    this.format = from?.format ?? 'spec';
    this.saeId = from ? from.sae_id : defaultSaeId;
    this.list = new FeatureList((from?.features ?? []) as ListedFeature[]);
    if (!from) return;
    this.name = from.name;
    this.description = from.description ?? '';
    this.intensity = from.intensity;
  }

  get features(): readonly ListedFeature[] {
    return this.list.items;
  }

  readonly problem = $derived.by(() => {
    if (!this.name.trim()) return 'It needs a name.';
    if (this.features.length === 0) return 'It needs a feature.';
    return null;
  });

  add(feature: FeatureSummary): void {
    this.list.add(feature, this.saeId);
  }

  toRequest(): ProfileRequest {
    return { ...this.#head(), sae_id: this.saeId, features: [...this.features] };
  }

  /** Features only when they were changed: an imported profile keeps every number as it came. */
  toChange(): ProfileChange {
    return { ...this.#head(), ...(this.list.isChanged && { features: [...this.features] }) };
  }

  #head() {
    return { name: this.name.trim(), description: this.description.trim() || null, intensity: this.intensity };
  }
}
