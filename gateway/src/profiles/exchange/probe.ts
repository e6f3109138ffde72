// mistudio.probe-definition/v1: recognised, kept and given back; nothing here evaluates it. Pure.
import type { Reading } from './draft.ts';
import { newNotes, noTarget } from './draft.ts';
import { isObject, number, object, text, unknownKeys } from './fields.ts';
import type { Json, Place } from './fields.ts';

const known = [
  ...['kind', 'name', 'description', 'concept', 'model', 'read', 'scope', 'basis', 'head', 'sae', 'aggregation'],
  ...['decision', 'evidence', 'provenance', 'test_vectors', 'render'],
];

export function readProbe(value: Json, exact: Json, duplicates: readonly string[] = []): Reading {
  const notes = newNotes();
  const place: Place = { holder: value, path: '', notes };
  const refused = [...unknownKeys(value, '', known).map((path) => ({ path, reason: 'is no key of a probe' }))];
  refused.push(...duplicates.map((path) => ({ path, reason: 'the key appears twice' })));
  notes.problems.push(...refused.map((problem) => ({ ...problem, value: null })));
  const model = object(place, 'model');
  const read = object(place, 'read');
  const sae = object(place, 'sae');
  for (const key of ['model', 'read', 'head'] as const) {
    if (!isObject(value[key])) notes.problems.push({ path: key, value: value[key] ?? null, reason: 'is required' });
  }
  const inside = (key: string, holder: Json | null): Place => ({ holder: holder ?? {}, path: key, notes });
  const draft = {
    format: 'probe' as const,
    name: text(place, 'name', { max: 200, required: true }) ?? '',
    description: text(place, 'description'),
    modelName: text(inside('model', model), 'hf_id'),
    quantization: null,
    targets: [
      {
        ...noTarget,
        layer: number(inside('read', read), 'layer', { integer: true, min: 0 }),
        repoId: text(inside('sae', sae), 'hf_repo'),
        path: text(inside('sae', sae), 'path'),
        nFeatures: number(inside('sae', sae), 'n_features', { integer: true, min: 1 }),
        dModel: number(inside('model', model), 'd_model', { integer: true, min: 1, max: 16_384 }),
      },
    ],
    intensity: 1,
    intensityRange: null,
    features: [],
    rung: null,
    document: exact,
  };
  notes.warnings.push('A probe is kept and given back; this server does not evaluate it.');
  return { draft, notes };
}
