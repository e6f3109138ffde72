// A draft, bound to what this server knows: what will be stored, and everything that is to be said about it. Pure.
import { bind } from './binding.ts';
import type { Binding, KnownSae } from './binding.ts';
import type { Draft, Notes, Reading } from './exchange/draft.ts';
import { settle } from './exchange/read.ts';
import type { Dropped } from './exchange/read.ts';
import type { NewProfile } from './repository.ts';

export interface World {
  saes: readonly KnownSae[];
  /** The model that a document names, as this server calls it; null = not known here. */
  modelName: string | null;
  loaded: { name: string; quantization: string | null } | null;
}

export interface AdmitOptions {
  /** An SAE of ours that somebody chose. */
  saeId: string | null;
  onInvalid: 'refuse' | 'skip';
}

export interface Admitted {
  profile: NewProfile;
  status: 'imported' | 'imported_unbound';
  dropped: Dropped[];
}

/** Beyond it the original clamps, so an imported profile is stronger here than there. */
const clampOfOriginal = 200;

export function admit({ draft, notes }: Reading, world: World, { saeId, onInvalid }: AdmitOptions): Admitted {
  const isLayerStrict = draft.format === 'circuit';
  const bindings = draft.targets.map((target) => bind(target, world.saes, { chosen: saeId, isLayerStrict }));
  noteIndices(draft, notes, bindings, world.saes);
  const { dropped } = settle({ draft, notes }, onInvalid);
  const isBound = isLayerStrict ? bindings.some(({ saeId: id }) => id !== null) : bindings[0]?.saeId != null;
  const isSelfBound = draft.features.length > 0 && draft.features.every((feature) => feature.saeId !== null);
  const needsSae = draft.format !== 'probe' && !isSelfBound;
  const warnings = [
    ...notes.warnings,
    ...(needsSae ? bindings.flatMap((binding) => binding.warnings) : []),
    ...(needsSae ? detachedWarnings(bindings, world.saes) : []),
    ...modelWarnings(draft, world),
    ...strengthWarnings(draft),
  ];
  const profile: NewProfile = {
    name: draft.name,
    description: draft.description,
    format: draft.format,
    modelName: world.modelName,
    saeId: isLayerStrict ? null : (bindings[0]?.saeId ?? null),
    intensity: draft.intensity,
    intensityMin: draft.intensityRange?.[0] ?? null,
    intensityMax: draft.intensityRange?.[1] ?? null,
    targets: draft.targets.map((target, position) => ({ ...target, bound: bindings[position]?.saeId ?? null })),
    warnings,
    rung: draft.rung,
    document: JSON.stringify(draft.document),
    features: draft.features.map(({ target, index, op, strength, label, options, saeId: own }) => ({
      ...{ index, op, strength, label, options, saeId: own },
      layer: isLayerStrict ? (draft.targets[target]?.layer ?? null) : null,
    })),
  };
  return { profile, status: isBound || !needsSae ? 'imported' : 'imported_unbound', dropped };
}

/** An index that the bound SAE does not have is a bad entry like any other. */
function noteIndices(draft: Draft, notes: Notes, bindings: Binding[], saes: readonly KnownSae[]): void {
  draft.features = draft.features.filter((feature) => {
    const id = feature.saeId ?? bindings[feature.target]?.saeId;
    const size = saes.find((sae) => sae.id === id)?.nFeatures ?? null;
    if (size === null || feature.index < size) return true;
    const problem = {
      path: feature.path,
      value: feature.index,
      reason: `the SAE "${id}" has features 0 to ${size - 1}`,
    };
    if (draft.format === 'circuit') notes.problems.push(problem);
    else notes.entries.push({ ...problem, key: feature.key });
    return false;
  });
}

const detachedWarnings = (bindings: readonly Binding[], saes: readonly KnownSae[]) =>
  bindings.flatMap(({ saeId }) => {
    const sae = saes.find((known) => known.id === saeId);
    return sae && !sae.attached ? [`The SAE "${sae.id}" at block ${sae.layer ?? '?'} is not attached now.`] : [];
  });

function modelWarnings({ modelName, quantization }: Draft, world: World): string[] {
  const { loaded } = world;
  const warnings: string[] = [];
  if (modelName !== null && world.modelName === null) {
    const other = loaded ? `; "${loaded.name}" is loaded` : '';
    warnings.push(`It was made for the model "${modelName}", which is not known here${other}.`);
  } else if (modelName !== null && loaded && world.modelName !== loaded.name) {
    warnings.push(`It was made for the model "${modelName}"; "${loaded.name}" is loaded.`);
  }
  if (quantization !== null && loaded?.quantization != null && quantization !== loaded.quantization) {
    warnings.push(`It was made with ${quantization} weights; the loaded model has ${loaded.quantization}.`);
  }
  return warnings;
}

function strengthWarnings({ features, intensity }: Draft): string[] {
  const beyond = features.flatMap(({ index, strength }) => {
    const applied = (strength ?? 0) * intensity;
    return Math.abs(applied) > clampOfOriginal ? [`${index} (${applied})`] : [];
  });
  if (beyond.length === 0) return [];
  return [
    `Beyond the original's ±${clampOfOriginal}, where it clamps; applied here as it is: feature ${beyond.join(', ')}.`,
  ];
}
