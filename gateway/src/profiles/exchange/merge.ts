// Entries as they are now, over the entries as they were received: unknown keys of those that are left survive. Pure.
import { effectiveStrength } from '../../steering/resolve.ts';
import { isObject } from './fields.ts';
import type { Json } from './fields.ts';

export const withoutNulls = (value: Json): Json =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null && field !== undefined));

const steers = ['strength', 'op', 'value', 'min', 'max', 'when', 'scope', 'label', 'sae_id'];

export function mergeEntries(received: unknown, now: readonly Json[]): Json[] {
  const before = byKey(received, 'index');
  return now.map((entry) => {
    const old = before.get(String(entry['index']));
    if (!old) return entry;
    const rest = Object.fromEntries(Object.entries(old).filter(([key]) => !steers.includes(key)));
    return { ...rest, ...entry };
  });
}

/** A member whose effective strength and label did not change stays exactly as it was written. */
export function mergeMembers(received: unknown, now: readonly Json[]): Json[] {
  const before = byKey(received, 'feature_idx');
  return now.map((member) => {
    const old = before.get(String(member['feature_idx']));
    if (!old) return member;
    const sign = old['sign'] == null ? 1 : numeric(old['sign']);
    const isSame = effectiveStrength(numeric(old['strength']), sign) === member['strength'];
    const label = member['label'] === old['label'] ? {} : { label: member['label'] };
    return isSame ? { ...old, ...label } : { ...old, ...member };
  });
}

/** Numbers may be kept as their text. */
export const numeric = (value: unknown): number => Number(isObject(value) ? value['rawJSON'] : value);

function byKey(list: unknown, key: string): Map<string, Json> {
  const items = Array.isArray(list) ? (list as unknown[]).filter(isObject) : [];
  return new Map(items.map((item) => [String(numeric(item[key])), item]));
}
