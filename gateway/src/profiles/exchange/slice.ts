// One layer of a circuit as a cluster: an export, named as what it is, and never served as the circuit. Pure.
import { AppError } from '../../errors.ts';
import { isObject } from './fields.ts';
import type { Json } from './fields.ts';
import { numeric, withoutNulls } from './merge.ts';
import type { Exportable, Exported } from './write.ts';

const longestName = 120;

export function slice(profile: Exportable, circuit: Json, layer: number | null): Exported {
  const layers = profile.targets.flatMap((target) => (target.layer === null ? [] : [target.layer]));
  if (layer === null || !layers.includes(layer)) {
    const message = `Name the layer of the circuit to export as a cluster: ${layers.join(', ')}.`;
    throw new AppError('VALIDATION_ERROR', message, { param: 'layer', details: { layers } });
  }
  const items = (key: string) => (Array.isArray(circuit[key]) ? (circuit[key] as unknown[]).filter(isObject) : []);
  const isHere = (item: Json) => numeric(item['layer']) === layer;
  const members = items('members')
    .filter(isHere)
    .flatMap((member) => {
      const expanded = member['expanded_members'];
      return Array.isArray(expanded) ? (expanded as unknown[]) : [member['feature']];
    });
  const suffix = ` [L${layer} slice]`;
  const document = withoutNulls({
    kind: 'mistudio.cluster-definition',
    schema_version: '1',
    name: profile.name.slice(0, longestName - suffix.length) + suffix,
    model: circuit['model'],
    sae: items('saes').find(isHere),
    members,
    budget: { intensity: profile.intensity, intensity_range: profile.intensityRange ?? [0, 2] },
    provenance: { source_note: `projection_of=${profile.name}`.slice(0, 500) },
  });
  const elsewhere = layers.filter((other) => other !== layer);
  return { document, leftOut: elsewhere.map((other) => `The members on layer ${other} and every edge.`) };
}
