// mistudio.cluster-definition 1. Pure.
import { maxIntensity } from '../../steering/schemas.ts';
import { effectiveStrength } from '../../steering/resolve.ts';
import type { DraftFeature, Notes, Reading, Target } from './draft.ts';
import { newNotes, noTarget } from './draft.ts';
import {
  at,
  index as indexRule,
  isObject,
  list,
  number,
  object,
  text,
  whyNotNumber,
  whyNotStrength,
} from './fields.ts';
import type { Json, Place } from './fields.ts';

const mostMembers = 20;
const metaBytes = 8 * 1024;

export function readCluster(value: Json, exact: Json, duplicates: readonly string[] = []): Reading {
  const notes = newNotes();
  const place: Place = { holder: value, path: '', notes };
  for (const path of duplicates) notes.problems.push({ path, value: null, reason: 'the key appears twice' });
  const model = object(place, 'model');
  const sae = object(place, 'sae');
  const { intensity, intensityRange } = readDial(place);
  text(place, 'display_token');
  const draft = {
    format: 'cluster' as const,
    name: text(place, 'name', { max: 120, required: true }) ?? '',
    description: text(place, 'narrative', { max: 10_000 }),
    modelName: model ? text({ holder: model, path: 'model', notes }, 'hf_id') : null,
    quantization: null,
    targets: [sae ? readSae({ holder: sae, path: 'sae', notes }) : noTarget],
    intensity,
    intensityRange,
    features: readMembers(list(place, 'members', { required: true, min: 1, max: mostMembers }), 'members', notes),
    rung: null,
    document: exact,
  };
  return { draft, notes };
}

/** An SAE as a cluster or a circuit names it. */
export function readSae(place: Place): Target {
  const hint = text(place, 'source_hint');
  if (hint !== null && /^[/~]|^\.\.|:\\|(^|\/)\.\.(\/|$)/.test(hint)) {
    place.notes.problems.push({
      path: at(place.path, 'source_hint'),
      value: hint,
      reason: 'points at a file system, not at a repository',
    });
  }
  const source = /^hf:([^/\s]+\/[^/\s]+)(?:\/(.+))?$/.exec(hint ?? '');
  const own = place.holder['mistudio_sae_id'] == null ? 'sae_id' : 'mistudio_sae_id';
  return {
    layer: number(place, 'layer', indexRule),
    saeId: text(place, own),
    repoId: source?.[1] ?? null,
    path: source?.[2] ?? null,
    nFeatures: number(place, 'n_features', { integer: true, min: 1 }),
    dModel: number(place, 'd_model', { integer: true, min: 1 }),
    hookType: text(place, 'hook_type'),
  };
}

/** The dial and its range; a dial outside its own range is moved into it, and that is said. */
export function readDial(place: Place): { intensity: number; intensityRange: [number, number] | null } {
  const budget = object(place, 'budget');
  if (!budget) return { intensity: 1, intensityRange: null };
  const inner: Place = { holder: budget, path: at(place.path, 'budget'), notes: place.notes };
  const intensityRange = readRange(inner, 'intensity_range');
  const wanted = number(inner, 'intensity', { min: 0, max: maxIntensity }) ?? 1;
  const intensity = clamp(wanted, intensityRange);
  if (intensity !== wanted && budget['intensity'] != null) place.notes.warnings.push(clampWarning(wanted, intensity));
  return { intensity, intensityRange };
}

export const clampWarning = (wanted: number, used: number) =>
  `The document's intensity ${wanted} lies outside its own range and was set to ${used}.`;

export function clamp(value: number, range: readonly [number, number] | null): number {
  if (range === null || value === 0) return value;
  return Math.min(Math.max(value, range[0]), range[1]);
}

function readRange(place: Place, key: string): [number, number] | null {
  const value = place.holder[key];
  if (value == null) return null;
  const refuse = (reason: string) => {
    place.notes.problems.push({ path: at(place.path, key), value, reason });
    return null;
  };
  const isPair = Array.isArray(value) && value.length === 2 && value.every((end) => whyNotNumber(end, {}) === null);
  if (!isPair) return refuse('must be two numbers');
  const [low, high] = value as [number, number];
  if (low > high) return refuse('is reversed');
  return low < 0 || high > maxIntensity ? refuse(`must lie within 0 and ${maxIntensity}`) : [low, high];
}

/** Members of one SAE; bad ones and both of a pair are noted, never silently replaced. */
export function readMembers(members: readonly unknown[], path: string, notes: Notes, target = 0): DraftFeature[] {
  const seen = new Set<number>();
  return members.flatMap((member, position) => {
    const feature = readMember(member, `${path}[${position}]`, notes, target);
    if (feature === null) return [];
    if (seen.has(feature.index)) {
      const reason = `feature ${feature.index} is listed twice`;
      notes.entries.push({ path: `${feature.path}.feature_idx`, key: feature.key, value: feature.index, reason });
      return [];
    }
    seen.add(feature.index);
    return [feature];
  });
}

export function readMember(member: unknown, path: string, notes: Notes, target: number): DraftFeature | null {
  const refuse = (where: string, value: unknown, reason: string, key = path) => {
    notes.entries.push({ path: where, key, value: value ?? null, reason });
    return null;
  };
  if (!isObject(member)) return refuse(path, member, 'must be an object');
  const { feature_idx: index, strength, sign } = member;
  const wrongIndex = whyNotNumber(index, indexRule);
  if (wrongIndex !== null) return refuse(`${path}.feature_idx`, index, wrongIndex, JSON.stringify(index) ?? path);
  const key = String(index);
  const wrongStrength = whyNotStrength(strength);
  if (wrongStrength !== null) return refuse(`${path}.strength`, strength, wrongStrength, key);
  if (sign != null && sign !== 1 && sign !== -1) return refuse(`${path}.sign`, sign, 'sign must be 1 or -1', key);
  for (const field of ['similarity', 'activation_frequency', 'max_activation'] as const) {
    const reason = member[field] == null ? null : whyNotNumber(member[field], field === 'similarity' ? share : {});
    if (reason !== null) return refuse(`${path}.${field}`, member[field], reason, key);
  }
  const wrongMeta = member['meta'] == null ? null : whyNotMeta(member['meta']);
  if (wrongMeta !== null) return refuse(`${path}.meta`, null, wrongMeta, key);
  const { label } = member;
  if (label != null && typeof label !== 'string') return refuse(`${path}.label`, label, 'must be a string', key);
  return {
    target,
    index: index as number,
    strength: effectiveStrength(strength as number, sign ?? 1),
    op: 'add',
    label: label ?? null,
    options: null,
    saeId: null,
    path,
    key,
  };
}

const share = { min: 0, max: 1 };
const metaTexts = { description: 1000, category: 50, label_source: 50, signature: 200 } as const;

function whyNotMeta(meta: unknown): string | null {
  if (!isObject(meta)) return 'must be an object';
  if (JSON.stringify(meta).length > metaBytes) return `is larger than ${metaBytes} bytes`;
  for (const [key, max] of Object.entries(metaTexts)) {
    const value = meta[key];
    if (typeof value === 'string' && value.length > max) return `${key} is longer than ${max} characters`;
  }
  if (meta['interpretability'] != null && whyNotNumber(meta['interpretability'], share) !== null) {
    return 'interpretability must be between 0 and 1';
  }
  const link = meta['neuronpedia'];
  if (link != null && !(typeof link === 'string' && /^https?:\/\//i.test(link)))
    return 'neuronpedia must be an http(s) link';
  return null;
}
