// One entry of a list of features: its operation as steering knows it. Pure.
import { steeringFeature } from '../../steering/schemas.ts';
import type { DraftFeature, Problem } from './draft.ts';
import { whyNotStrength } from './fields.ts';
import type { Json } from './fields.ts';

export const optionKeys = ['value', 'min', 'max', 'when', 'scope'] as const;

type Operation = Pick<DraftFeature, 'op' | 'strength' | 'options' | 'saeId'>;

export function readOperation(item: Json): Operation | { problem: Problem } {
  if (item['op'] == null) {
    // The common case first, with the words that every format uses for it.
    const reason = whyNotStrength(item['strength']);
    if (reason !== null) return { problem: { path: 'strength', value: item['strength'] ?? null, reason } };
  }
  const { label: _, ...steering } = item;
  const parsed = steeringFeature.safeParse(steering);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const path = issue?.path.map(String).join('.') ?? '';
    return { problem: { path, value: item[path] ?? null, reason: issue?.message ?? 'is not valid' } };
  }
  const options = Object.fromEntries(optionKeys.filter((key) => item[key] != null).map((key) => [key, item[key]]));
  return {
    op: parsed.data.op ?? 'add',
    strength: parsed.data.strength ?? null,
    options: Object.keys(options).length > 0 ? options : null,
    saeId: parsed.data.sae_id ?? null,
  };
}
