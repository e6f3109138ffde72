/** Two profiles feature by feature. Pure. */
import type { ProfileDetail, SteeredFeature } from '#lib/api/types.ts';
import { describeOperation } from './operations.ts';

export interface ComparedSide {
  text: string;
  /** For a bar; null where the operation has no strength. */
  strength: number | null;
}

export interface ComparedRow {
  key: string;
  index: number;
  label: string | null;
  saeId: string | null;
  a: ComparedSide | null;
  b: ComparedSide | null;
  isSame: boolean;
}

type Feature = ProfileDetail['features'][number];

export function compareProfiles(a: ProfileDetail, b: ProfileDetail): ComparedRow[] {
  const sides = [a, b].map((profile) => new Map(profile.features.map((feature) => [keyOf(feature), feature])));
  const [ofA, ofB] = sides as [Map<string, Feature>, Map<string, Feature>];
  return [...new Set([...ofA.keys(), ...ofB.keys()])]
    .map((key) => rowOf(key, ofA.get(key), ofB.get(key)))
    .toSorted((one, other) => Number(one.isSame) - Number(other.isSame) || size(other) - size(one));
}

function rowOf(key: string, a: Feature | undefined, b: Feature | undefined): ComparedRow {
  const known = (a ?? b) as Feature;
  const [left, right] = [a && sideOf(a), b && sideOf(b)];
  return {
    key,
    index: known.index,
    label: a?.label ?? b?.label ?? null,
    saeId: known.sae_id,
    a: left ?? null,
    b: right ?? null,
    isSame: left?.text === right?.text,
  };
}

const keyOf = ({ index, sae_id, layer }: Feature) => `${sae_id ?? ''}:${layer ?? ''}:${index}`;
const sideOf = (feature: Feature): ComparedSide => ({
  text: describeOperation(feature as SteeredFeature),
  strength: feature.strength,
});
const size = ({ a, b }: ComparedRow) => Math.max(Math.abs(a?.strength ?? 0), Math.abs(b?.strength ?? 0));
