/** Which feature a newcomer meets first: what the server already steers, else one that somebody vouches for. */
import { ApiError } from '#lib/api/errors.ts';
import type { FeatureSummary, Page, SteeringConfiguration } from '#lib/api/types.ts';

export interface FeatureSource {
  getFeature: (saeId: string, index: number) => Promise<FeatureSummary>;
  listFeatures: (saeId: string, query: { limit: number; suggested?: boolean }) => Promise<Page<FeatureSummary>>;
}

export interface FirstFeature {
  feature: FeatureSummary;
  strength?: number;
}

const LOOK_AT = 200;

export async function firstFeature(
  saeId: string,
  steering: SteeringConfiguration | null,
  source: FeatureSource,
): Promise<FirstFeature> {
  const active = steering?.features?.find((item) => !item.sae_id || item.sae_id === saeId);
  if (active && (steering?.sae_id ?? saeId) === saeId) {
    const feature = await source.getFeature(saeId, active.index).catch(missing);
    if (feature) return { feature, ...(active.strength && { strength: active.strength }) };
  }
  const [measured] = (await source.listFeatures(saeId, { limit: 1, suggested: true })).items;
  if (measured?.suggested_strength) return { feature: measured };
  const { items } = await source.listFeatures(saeId, { limit: LOOK_AT });
  const feature =
    items.find(isTelling) ?? items.find((item) => item.label && (item.max_activation ?? 0) > 0) ?? items[0];
  // Without any label file there are still features, only nameless ones.
  return { feature: feature ?? { index: 0, label: null } };
}

/** Named by a real word, and firing hard but seldom: such a feature tends to change an answer in a way one can see. */
function isTelling({ label, density, max_activation }: FeatureSummary): boolean {
  const isNamed = /^['"“‘]?\p{L}{3,}/u.test(label ?? '');
  return isNamed && (density ?? 1) < 0.01 && (max_activation ?? 0) >= 30;
}

function missing(thrown: unknown): null {
  if (thrown instanceof ApiError) return null;
  throw thrown;
}
