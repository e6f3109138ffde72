// A short, stable name of what is applied. For one SAE and plain additions the hashed text is the published canonical
// one, so that clients can check it; every other operation adds a line of its own.
import { createHash } from 'node:crypto';
import type { FeatureSteering } from '../inference/contract.ts';

export function fingerprint(features: readonly FeatureSteering[]): string {
  return createHash('sha256').update(canonicalText(features)).digest('hex').slice(0, 16);
}

export function canonicalText(features: readonly FeatureSteering[]): string {
  const lines = ['millm.steering-set/v1'];
  const saeIds = [...new Set(features.map((feature) => feature.sae_id))].sort(byCodePoint);
  for (const saeId of saeIds) {
    const own = features.filter((feature) => feature.sae_id === saeId);
    const additions = own.filter(isPlainAddition).sort((a, b) => a.index - b.index);
    lines.push(`sae=${saeId}`);
    lines.push(...additions.map((feature) => `${feature.index}:${binary64(feature.strength ?? 0)}`));
    lines.push(
      ...own
        .filter((feature) => !isPlainAddition(feature))
        .map(otherLine)
        .sort(byCodePoint),
    );
  }
  return lines.map((line) => `${line}\n`).join('');
}

const isPlainAddition = (feature: FeatureSteering) =>
  feature.op === 'add' && feature.when == null && feature.scope == null;

function otherLine(feature: FeatureSteering): string {
  const { sae_id: _, ...rest } = feature;
  return sortedJson(rest);
}

function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) return inner;
    const present = Object.entries(inner).filter(([, field]) => field != null);
    return Object.fromEntries(present.sort(([a], [b]) => byCodePoint(a, b)));
  });
}

const byCodePoint = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

function binary64(value: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes.toString('hex');
}
