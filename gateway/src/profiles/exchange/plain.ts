// Plain profiles: our specification's and P3 (a list of features), P1 (a map of strengths), or both saying the same. Pure.
import { maxFeatures, maxIntensity } from '../../steering/schemas.ts';
import type { DraftFeature, Format, Notes, Reading, Target } from './draft.ts';
import { newNotes, noTarget } from './draft.ts';
import { at, isObject, list, number, object, text, unknownKeys, whyNotNumber, whyNotStrength } from './fields.ts';
import type { Json, Place } from './fields.ts';
import { readOperation } from './operation.ts';

const known = {
  top: [
    ...['version', 'name', 'description', 'model_id', 'sae_id', 'layer', 'steering', 'model', 'sae', 'features'],
    ...['created_at', 'updated_at', 'exported_at', 'intensity'],
  ],
  model: ['repo_id', 'quantization'],
  sae: ['repo_id', 'layer', 'id', 'path'],
  feature: ['index', 'strength', 'label', 'op', 'value', 'min', 'max', 'when', 'scope', 'sae_id'],
};

export function readPlain(value: Json, exact: Json, duplicates: readonly string[]): Reading {
  const notes = newNotes();
  const place: Place = { holder: value, path: '', notes };
  const isList = Array.isArray(value['features']);
  const format: Format = !isList ? 'p1' : 'exported_at' in value ? 'p3' : 'spec';
  const version = value['version'];
  if (version != null && !(typeof version === 'string' && /^1(\.|$)/.test(version))) {
    notes.problems.push({ path: 'version', value: version, reason: 'only version 1 is known' });
  }
  const name = text(place, 'name', { max: format === 'p1' ? 100 : 120, required: true }) ?? '';
  const description = text(place, 'description');
  const model = object(place, 'model');
  const target = readTarget(place);
  const fromList = isList ? readList(place) : [];
  const fromMap = isObject(value['steering']) ? readMap(value['steering'], duplicates, notes) : [];
  if (isList && isObject(value['steering'])) compare(fromList, fromMap, notes);
  const otherDuplicates = duplicates.filter((path) => !path.startsWith('steering.'));
  for (const path of otherDuplicates) notes.problems.push({ path, value: null, reason: 'the key appears twice' });
  const features = isList ? fromList : fromMap;
  if (features.length > maxFeatures) {
    notes.problems.push({
      path: isList ? 'features' : 'steering',
      value: features.length,
      reason: `has more than ${maxFeatures} entries`,
    });
  }
  if (features.length === 0 && notes.entries.length === 0)
    notes.warnings.push('The profile is empty: it steers nothing.');
  warnOfUnknown(value, notes);
  const draft = {
    format,
    name,
    description,
    modelName: (model ? text({ holder: model, path: 'model', notes }, 'repo_id') : null) ?? text(place, 'model_id'),
    quantization: model ? text({ holder: model, path: 'model', notes }, 'quantization') : null,
    targets: [target],
    intensity: (isList ? number(place, 'intensity', { min: 0, max: maxIntensity }) : null) ?? 1,
    intensityRange: null,
    features,
    rung: null,
    document: exact,
  };
  return { draft, notes };
}

function readTarget(place: Place): Target {
  const sae = object(place, 'sae');
  const inner: Place = { holder: sae ?? {}, path: 'sae', notes: place.notes };
  const [outerLayer, innerLayer] = [place, inner].map((from) => number(from, 'layer', { integer: true, min: 0 }));
  if (outerLayer != null && innerLayer != null && outerLayer !== innerLayer) {
    const reason = `disagrees with sae.layer ${innerLayer}`;
    place.notes.problems.push({ path: 'layer', value: outerLayer, reason });
  }
  return {
    ...noTarget,
    layer: innerLayer ?? outerLayer ?? null,
    saeId: text(place, 'sae_id') ?? text(inner, 'id'),
    repoId: text(inner, 'repo_id'),
    path: text(inner, 'path'),
  };
}

function readMap(steering: Json, duplicates: readonly string[], notes: Notes): DraftFeature[] {
  return Object.entries(steering).flatMap(([key, strength]) => {
    const path = at('steering', key);
    const reason = duplicates.includes(path)
      ? 'the key appears twice'
      : /^(0|[1-9]\d*)$/.test(key) && Number.isSafeInteger(Number(key))
        ? whyNotStrength(strength)
        : 'the key is no feature index';
    if (reason !== null) {
      notes.entries.push({ path, key, value: strength, reason });
      return [];
    }
    return [entry(Number(key), path, { strength: strength as number })];
  });
}

function entry(index: number, path: string, rest: Partial<DraftFeature>): DraftFeature {
  const plain = { target: 0, op: 'add' as const, strength: null, label: null, options: null, saeId: null };
  return { ...plain, index, path, key: String(index), ...rest };
}

function readList(place: Place): DraftFeature[] {
  const { notes } = place;
  const seen = new Set<string>();
  return list(place, 'features').flatMap((item, position) => {
    const path = `features[${position}]`;
    const bad = (where: string, value: unknown, reason: string, key = path) => {
      notes.entries.push({ path: where, key, value: value ?? null, reason });
      return [];
    };
    if (!isObject(item)) return bad(path, item, 'must be an object');
    const reason = whyNotNumber(item['index'], { integer: true, min: 0 });
    if (reason !== null) return bad(`${path}.index`, item['index'], reason, JSON.stringify(item['index']) ?? path);
    const index = item['index'] as number;
    const read = readOperation(item);
    if ('problem' in read)
      return bad(at(path, read.problem.path), read.problem.value, read.problem.reason, String(index));
    const identity = JSON.stringify([read.saeId, index, read.op, read.options?.['when'], read.options?.['scope']]);
    if (seen.has(identity)) return bad(`${path}.index`, index, `feature ${index} is listed twice`, String(index));
    seen.add(identity);
    const label = item['label'];
    if (label != null && typeof label !== 'string')
      return bad(`${path}.label`, label, 'must be a string', String(index));
    return [entry(index, path, { ...read, label: label ?? null })];
  });
}

/** Both shapes in one document must be one set. */
function compare(fromList: DraftFeature[], fromMap: DraftFeature[], notes: Notes): void {
  const listed = new Map(fromList.map(({ index, strength }) => [index, strength]));
  const mapped = new Map(fromMap.map(({ index, strength }) => [index, strength]));
  for (const index of new Set([...listed.keys(), ...mapped.keys()])) {
    const [one, other] = [mapped.get(index), listed.get(index)];
    if (one === other) continue;
    const say = (strength: number | null | undefined) => (strength == null ? 'nothing' : String(strength));
    const reason = `steering says ${say(one)} for feature ${index}, features says ${say(other)}`;
    notes.problems.push({ path: at('steering', String(index)), value: one ?? null, reason });
  }
}

function warnOfUnknown(value: Json, notes: Notes): void {
  const inner = (key: 'model' | 'sae') => (isObject(value[key]) ? unknownKeys(value[key], key, known[key]) : []);
  const items = Array.isArray(value['features']) ? (value['features'] as unknown[]) : [];
  const unknown = [
    ...unknownKeys(value, '', known.top),
    ...inner('model'),
    ...inner('sae'),
    ...items.flatMap((item, position) =>
      isObject(item) ? unknownKeys(item, `features[${position}]`, known.feature) : [],
    ),
  ];
  if (unknown.length === 0) return;
  const shown = unknown.slice(0, 10).join(', ') + (unknown.length > 10 ? ` and ${unknown.length - 10} more` : '');
  notes.warnings.push(`Kept but not understood: ${shown}.`);
}
