// What is watched is the union of what everybody asked for; this takes out again what one of them asked for. Pure.
import { createHash } from 'node:crypto';
import type { Watch } from '../inference/feed-contract.ts';

/** What one subscriber wants to see. */
export interface Ask {
  sae_id: string;
  top_k: number;
  features: number[];
  request_id: string | null;
}

/** The same for everybody who asks the same, so that they can share messages. */
export const subscriptionId = ({ sae_id, top_k, features, request_id }: Ask): string =>
  createHash('sha256')
    .update(JSON.stringify([sae_id, top_k, features, request_id]))
    .digest('hex')
    .slice(0, 16);

export const matches = (ask: Ask, frame: { sae_id: string; request_id: string }): boolean =>
  frame.sae_id === ask.sae_id && (ask.request_id === null || frame.request_id === ask.request_id);

/** The named features in the order asked for, then the strongest: what a request that asks this inline is answered. */
export function project<F extends { index: number; value: number }>(
  { top_k, features }: Pick<Ask, 'top_k' | 'features'>,
  read: readonly F[],
): F[] {
  const byIndex = new Map(read.map((feature) => [feature.index, feature]));
  const chosen = features.flatMap((index) => byIndex.get(index) ?? []);
  if (top_k === 0) return chosen;
  const isChosen = new Set(features);
  const strongest = [...byIndex.values()]
    .filter(({ value }) => value > 0)
    .sort((a, b) => b.value - a.value)
    .slice(0, top_k)
    .filter(({ index }) => !isChosen.has(index));
  return [...chosen, ...strongest];
}

/** One watch per SAE that covers all of them. */
export function unionOf(watches: Iterable<Watch>): Watch[] {
  const bySae = new Map<string, { top_k: number; features: Set<number> }>();
  for (const { sae_id, top_k, features } of watches) {
    const entry = bySae.get(sae_id) ?? { top_k: 0, features: new Set<number>() };
    bySae.set(sae_id, entry);
    entry.top_k = Math.max(entry.top_k, top_k);
    for (const index of features) entry.features.add(index);
  }
  return [...bySae]
    .map(([sae_id, { top_k, features }]) => ({ sae_id, top_k, features: [...features].sort((a, b) => a - b) }))
    .filter(({ top_k, features }) => top_k > 0 || features.length > 0)
    .sort((a, b) => (a.sae_id < b.sae_id ? -1 : 1));
}
