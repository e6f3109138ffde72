/**
 * Steering as the query of an address, short enough to read: `sae=demo&features=713:55,12:clamp:4,3@other:ablate`, with
 * `intensity` where it is not 1 and `rules` (JSON) for conditions and scopes. Pure.
 */
import type { Operation } from '#lib/api/types.ts';
import type { ListedFeature } from './feature-list.svelte.ts';
import { operations, withOperation, type Parameter } from './operations.ts';
import { legalStrength } from './steering-range.ts';

export interface LinkedSteering {
  saeId: string | null;
  features: ListedFeature[];
  intensity: number;
}

type Rules = Pick<ListedFeature, 'when' | 'scope'>;

const MAX_FEATURES = 64;

export function toQuery({ saeId, features, intensity }: LinkedSteering): string {
  const parts: string[] = [];
  if (saeId) parts.push(`sae=${encodeURIComponent(saeId)}`);
  if (features.length > 0) parts.push(`features=${features.map((item) => write(item, saeId)).join(',')}`);
  if (features.length > 0 && intensity !== 1) parts.push(`intensity=${intensity}`);
  const rules = features.map(({ when, scope }): Rules => ({ ...(when && { when }), ...(scope && { scope }) }));
  if (rules.some(({ when, scope }) => when ?? scope)) parts.push(`rules=${encodeURIComponent(JSON.stringify(rules))}`);
  return parts.join('&');
}

/** What cannot be read is left out: a link cut short still opens. */
export function fromQuery(query: Pick<URLSearchParams, 'get'>): LinkedSteering {
  const saeId = query.get('sae') || null;
  const rules = readRules(query.get('rules'));
  const features: ListedFeature[] = [];
  (query.get('features') ?? '').split(',').forEach((text, at) => {
    const feature = read(text, saeId);
    const isNew = !features.some(({ index, sae_id }) => index === feature?.index && sae_id === feature.sae_id);
    if (feature && isNew && features.length < MAX_FEATURES) features.push({ ...feature, ...rules[at] });
  });
  const intensity = Number(query.get('intensity') ?? 1);
  return { saeId, features, intensity: intensity >= 0 && intensity <= 2 ? intensity : 1 };
}

/** An SAE's id is encoded twice: the query's reader decodes once, before the separators are looked for. */
function write(item: ListedFeature, saeId: string | null): string {
  const of = item.sae_id && item.sae_id !== saeId ? `@${encodeURIComponent(encodeURIComponent(item.sae_id))}` : '';
  const op = item.op ?? 'add';
  const numbers = operations[op].parameters.map((name) => item[name] ?? '');
  return [`${item.index}${of}`, ...(op === 'add' ? [] : [op]), ...numbers].join(':');
}

function read(text: string, saeId: string | null): ListedFeature | null {
  const [name = '', ...rest] = text.trim().split(':');
  const [digits = '', of] = name.split('@');
  if (!/^\d{1,9}$/.test(digits)) return null;
  const op = rest[0] && Object.hasOwn(operations, rest[0]) ? (rest.shift() as Operation) : 'add';
  const feature = { index: Number(digits), label: null, sae_id: of ? decode(of) : saeId };
  const numbers = operations[op].parameters.flatMap((parameter, at): [Parameter, number][] => {
    const value = rest[at] ? Number(rest[at]) : NaN;
    if (!Number.isFinite(value)) return [];
    return [[parameter, parameter === 'strength' ? legalStrength(value) : value]];
  });
  if (op === 'clamp_range' && numbers.length > 0) return { ...feature, op, ...Object.fromEntries(numbers) };
  return withOperation({ ...feature, op, ...Object.fromEntries(numbers) } as ListedFeature, op);
}

function readRules(text: string | null): Rules[] {
  try {
    const rules: unknown = JSON.parse(text ?? '[]');
    if (!Array.isArray(rules)) return [];
    return rules.map((rule: Rules | null) => ({
      ...(rule?.when && typeof rule.when === 'object' && { when: rule.when }),
      ...(rule?.scope && typeof rule.scope === 'object' && { scope: rule.scope }),
    }));
  } catch {
    return [];
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
