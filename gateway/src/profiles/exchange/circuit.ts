// mistudio.circuit-definition 1: several layers, edges with evidence. Every problem is listed at once. Pure.
import type { DraftFeature, Notes, Reading } from './draft.ts';
import { newNotes } from './draft.ts';
import { clamp, clampWarning, readDial, readMember, readSae } from './cluster.ts';
import { at, index as indexRule, isObject, list, number, object, text, whyNotNumber } from './fields.ts';
import type { Json, Place } from './fields.ts';

export const rungLanguage = [
  'associated',
  'suggested (attribution-supported)',
  'causally validated (edge)',
  'faithfulness-tested (circuit)',
] as const;
/** Below it a circuit is only activated by somebody who says that they know. */
export const validatedRung = 2;

const perLayer = 20;

interface Parts {
  /** Layer → position in `saes`. */
  layers: Map<number, number>;
  /** `layer:feature` and `layer:cluster` that edges may name. */
  ends: Set<string>;
  notes: Notes;
}

export function readCircuit(value: Json, exact: Json, duplicates: readonly string[] = []): Reading {
  const notes = newNotes();
  const place: Place = { holder: value, path: '', notes };
  for (const path of duplicates) notes.problems.push({ path, value: null, reason: 'the key appears twice' });
  const model = object(place, 'model');
  const parts: Parts = { layers: new Map(), ends: new Set(), notes };
  const saes = list(place, 'saes', { required: true, min: 1, max: 16 });
  const targets = saes.map((sae, position) => {
    const path = `saes[${position}]`;
    const target = readSae({ holder: isObject(sae) ? sae : {}, path, notes });
    if (target.layer === null) notes.problems.push({ path: `${path}.layer`, value: null, reason: 'is required' });
    else if (parts.layers.has(target.layer)) {
      notes.problems.push({
        path: `${path}.layer`,
        value: target.layer,
        reason: `layer ${target.layer} is listed twice`,
      });
    } else parts.layers.set(target.layer, position);
    return target;
  });
  const features = readMembers(list(place, 'members', { required: true, min: 1 }), parts);
  const rung = readEdges(list(place, 'edges', { max: 200 }), parts);
  const draft = {
    format: 'circuit' as const,
    name: text(place, 'name', { max: 120, required: true }) ?? '',
    description: text(place, 'narrative', { max: 10_000 }),
    modelName: model ? text({ holder: model, path: 'model', notes }, 'hf_id') : null,
    quantization: null,
    targets,
    ...readCircuitDial(place),
    features,
    rung,
    document: exact,
  };
  return { draft, notes };
}

function readMembers(members: readonly unknown[], parts: Parts): DraftFeature[] {
  const { notes } = parts;
  const seen = new Map<string, number>();
  const counts = new Map<number, number>();
  const features: DraftFeature[] = [];
  members.forEach((member, position) => {
    const path = `members[${position}]`;
    const refuse = (where: string, value: unknown, reason: string) =>
      void notes.problems.push({ path: where, value: value ?? null, reason });
    if (!isObject(member)) return refuse(path, member, 'must be an object');
    const { layer } = member;
    if (whyNotNumber(layer, indexRule) !== null) return refuse(`${path}.layer`, layer, 'must be an integer from 0');
    const block = layer as number;
    const target = parts.layers.get(block);
    if (target === undefined) refuse(`${path}.layer`, block, `layer ${block} has no entry in saes`);
    for (const { item, where } of itemsOf(member, path, parts, block)) {
      const before = notes.entries.length;
      const feature = readMember(item, where, notes, target ?? 0);
      // Inside a circuit no member can be left out, so a bad one is a problem of the whole.
      notes.problems.push(...notes.entries.splice(before));
      if (!feature) continue;
      const end = `${block}:${feature.index}`;
      if (seen.has(end)) {
        refuse(`${where}.feature_idx`, feature.index, `feature ${feature.index} is twice on layer ${block}`);
        continue;
      }
      seen.set(end, position);
      parts.ends.add(end);
      counts.set(block, (counts.get(block) ?? 0) + 1);
      if (target !== undefined) features.push(feature);
    }
  });
  for (const [layer, count] of counts) {
    if (count > perLayer) {
      notes.problems.push({
        path: 'members',
        value: count,
        reason: `layer ${layer} has more than ${perLayer} features`,
      });
    }
  }
  return features;
}

function itemsOf(
  member: Json,
  path: string,
  { notes, ends }: Parts,
  layer: number,
): { item: unknown; where: string }[] {
  const refuse = (key: string, reason: string) => {
    notes.problems.push({ path: at(path, key), value: member[key] ?? null, reason });
    return [];
  };
  if (member['member_kind'] === 'feature_ref') {
    if (!isObject(member['feature'])) return refuse('feature', 'is required for a feature_ref');
    return [{ item: member['feature'], where: at(path, 'feature') }];
  }
  if (member['member_kind'] !== 'cluster_ref') return refuse('member_kind', 'must be feature_ref or cluster_ref');
  const id = member['cluster_profile_id'];
  if (typeof id === 'string' && id !== '') ends.add(`${layer}:cluster:${id}`);
  else refuse('cluster_profile_id', 'is required for a cluster_ref');
  const expanded = member['expanded_members'];
  if (!Array.isArray(expanded) || expanded.length === 0) {
    return refuse('expanded_members', 'is required for a cluster_ref');
  }
  return expanded.map((item: unknown, position) => ({ item, where: `${path}.expanded_members[${position}]` }));
}

/** The circuit's rung: that of its weakest edge. */
function readEdges(edges: readonly unknown[], { ends, notes }: Parts): number {
  const rungs = edges.map((edge, position) => {
    const path = `edges[${position}]`;
    const refuse = (key: string, value: unknown, reason: string) =>
      void notes.problems.push({ path: at(path, key), value: value ?? null, reason });
    if (!isObject(edge)) {
      refuse('', edge, 'must be an object');
      return 0;
    }
    const { up, down } = edge;
    for (const [key, end] of [
      ['up', up],
      ['down', down],
    ] as const) {
      if (!isObject(end)) refuse(key, end, 'is required');
      else if (!ends.has(nameOf(end)))
        refuse(key, end['feature_idx'] ?? end['cluster_profile_id'], 'is no member of the circuit');
    }
    if (isObject(up) && isObject(down) && Number(up['layer']) >= Number(down['layer'])) {
      refuse(
        'up.layer',
        up['layer'],
        `an edge runs upwards, not from layer ${String(up['layer'])} to ${String(down['layer'])}`,
      );
    }
    const rung = edge['rung'] ?? 0;
    if (whyNotNumber(rung, { integer: true, min: 0, max: 3 }) === null) return rung as number;
    refuse('rung', rung, 'must be 0, 1, 2 or 3');
    return 0;
  });
  return rungs.length === 0 ? 0 : Math.min(...rungs);
}

const nameOf = (end: Json) =>
  end['kind'] === 'cluster' || end['cluster_profile_id'] != null
    ? `${String(end['layer'])}:cluster:${String(end['cluster_profile_id'])}`
    : `${String(end['layer'])}:${String(end['feature_idx'])}`;

/** With a calibration, its onset and cliff bound the dial and its sweet spot is where it starts. */
function readCircuitDial(place: Place): { intensity: number; intensityRange: [number, number] | null } {
  const before = place.notes.warnings.length;
  const dial = readDial(place);
  const calibration = object(place, 'calibration');
  if (!calibration) return dial;
  const inner: Place = { holder: calibration, path: 'calibration', notes: place.notes };
  const [onset, sweet, cliff] = ['onset', 'sweet_spot', 'cliff'].map((key) => number(inner, key, { min: 0 }));
  const isAfter = (low: number | null | undefined, high: number | null | undefined) =>
    low != null && high != null && low > high;
  const refuse = (key: string, value: unknown, reason: string) =>
    void place.notes.problems.push({ path: `calibration.${key}`, value, reason });
  if (isAfter(onset, sweet)) refuse('sweet_spot', sweet, 'lies below onset');
  if (isAfter(sweet, cliff)) refuse('sweet_spot', sweet, 'lies above cliff');
  else if (isAfter(onset, cliff)) refuse('cliff', cliff, 'lies below onset');
  if (onset == null || cliff == null || onset > cliff) return dial;
  const budget = place.holder['budget'];
  const said = isObject(budget) && typeof budget['intensity'] === 'number' ? budget['intensity'] : null;
  const wanted = said ?? sweet ?? dial.intensity;
  const intensity = clamp(wanted, [onset, cliff]);
  place.notes.warnings.splice(before);
  if (said !== null && intensity !== said) place.notes.warnings.push(clampWarning(said, intensity));
  return { intensity, intensityRange: [onset, cliff] };
}
