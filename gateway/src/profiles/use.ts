// A stored profile, checked against what is loaded and attached, as the steering it stands for. Pure.
import { AppError } from '../errors.ts';
import type { ProfileSteering } from '../steering/resolve.ts';
import type { SteeringFeature } from '../steering/schemas.ts';
import { bind } from './binding.ts';
import type { Binding, KnownSae } from './binding.ts';
import { validatedRung } from './exchange/circuit.ts';
import type { ProfileRecord, RecordFeature, StoredTarget } from './repository.ts';

export interface Surroundings {
  attached: readonly KnownSae[];
  modelName: string | null;
}

export function steeringOf(profile: ProfileRecord, around: Surroundings): ProfileSteering {
  if (profile.format === 'probe') {
    throw refuse('UNSUPPORTED_VALUE', profile, 'is a probe: it is kept and exported, but it steers nothing.');
  }
  refuseOtherModel(profile, around);
  const bindings = profile.targets.map((target) => bindNow(target, profile, around.attached));
  refuseMismatch(profile, bindings);
  if (profile.format === 'circuit') refuseIncomplete(profile, bindings);
  else refuseUnbound(profile, bindings, around.attached);
  const features = profile.features.map((feature) => toSteering(feature, saeOf(feature, profile, bindings)));
  refuseOutOfRange(profile, features, around.attached);
  return {
    name: profile.name,
    saeId: profile.saeId ?? bindings[0]?.saeId ?? null,
    intensity: profile.intensity,
    dial: dialOf(profile),
    features,
  };
}

export function refuseUnvalidated(profile: ProfileRecord, isAcknowledged: boolean): void {
  if (profile.rung === null || profile.rung >= validatedRung || isAcknowledged) return;
  throw refuse(
    'UNVALIDATED_CIRCUIT',
    profile,
    `has evidence of rung ${profile.rung}, below ${validatedRung}; activate it with acknowledge_unvalidated=true.`,
    { rung: profile.rung },
  );
}

export const dialOf = ({ intensityMin: low, intensityMax: high, format }: ProfileRecord) =>
  low === null || high === null ? null : { low, high, isFloor: format === 'circuit' };

/** What was bound at import stays bound to that SAE; what was not is bound to what is attached now, if it fits. */
function bindNow(target: StoredTarget, { format }: ProfileRecord, attached: readonly KnownSae[]): Binding {
  if (target.bound === null) return bind(target, attached, { isLayerStrict: format === 'circuit' });
  if (attached.some((sae) => sae.id === target.bound)) return bind(target, attached, { chosen: target.bound });
  return { saeId: null, warnings: [], mismatch: null, candidates: [] };
}

function saeOf(feature: RecordFeature, { targets, saeId }: ProfileRecord, bindings: readonly Binding[]): string | null {
  if (feature.saeId !== null) return feature.saeId;
  const position = feature.layer === null ? 0 : targets.findIndex((target) => target.layer === feature.layer);
  return bindings[Math.max(position, 0)]?.saeId ?? saeId;
}

function toSteering({ index, op, strength, label: _, options }: RecordFeature, saeId: string | null): SteeringFeature {
  return { ...options, index, op, strength, sae_id: saeId } as SteeringFeature;
}

function refuseOtherModel(profile: ProfileRecord, { modelName }: Surroundings): void {
  const wanted = profile.modelName;
  if (wanted === null || modelName === null || wanted === modelName) return;
  const what = `is for the model "${wanted}", not "${modelName}".`;
  throw refuse('PROFILE_INCOMPATIBLE', profile, what, { what: 'model', wanted, found: modelName });
}

function refuseMismatch(profile: ProfileRecord, bindings: readonly Binding[]): void {
  const differing = bindings.flatMap(({ mismatch }) => mismatch ?? []);
  const [first] = differing;
  if (!first) return;
  const { wanted, found, sae_id } = first;
  const what =
    wanted.n_features !== found.n_features
      ? `${wanted.n_features ?? '?'} features, and the SAE "${sae_id}" has ${found.n_features ?? '?'}`
      : `features of width ${wanted.d_model ?? '?'}, and the SAE "${sae_id}" has ${found.d_model ?? '?'}`;
  const details = { what: 'feature space', wanted, found, sae_id, mismatches: differing };
  throw refuse('PROFILE_INCOMPATIBLE', profile, `was made for ${what}.`, details);
}

/** A circuit is served whole or not at all: one of its layers alone is not the circuit. */
function refuseIncomplete(profile: ProfileRecord, bindings: readonly Binding[]): void {
  const missing = profile.targets.filter((_, position) => bindings[position]?.saeId == null);
  if (missing.length === 0) return;
  const layers = missing.map((target) => target.layer);
  const blocks = layers.map((layer) => `block ${layer ?? '?'}`).join(', ');
  const details = {
    missing: missing.map(({ layer, bound, saeId, repoId, path }) => ({
      layer,
      sae_id: bound ?? saeId,
      repo_id: repoId,
      path,
    })),
  };
  throw refuse('SAE_SET_INCOMPLETE', profile, `needs an SAE attached at ${blocks}.`, { layers, ...details });
}

function refuseUnbound(profile: ProfileRecord, bindings: readonly Binding[], attached: readonly KnownSae[]): void {
  if (profile.features.length === 0) return;
  const wanted = [...new Set([profile.saeId, ...profile.features.map((feature) => feature.saeId)])];
  const isHere = (saeId: string) => attached.some((sae) => sae.id === saeId);
  const missing = wanted.find((saeId) => saeId !== null && !isHere(saeId)) ?? null;
  if (attached.length === 0) {
    throw refuse(
      'SAE_NOT_ATTACHED',
      profile,
      `needs ${missing === null ? 'an SAE' : `the SAE "${missing}"`}, and none is attached.`,
    );
  }
  const found = attached.map((sae) => sae.id);
  if (missing !== null) {
    const what = `is for the SAE "${missing}", not ${found.map((id) => `"${id}"`).join(', ')}.`;
    throw refuse('PROFILE_INCOMPATIBLE', profile, what, { what: 'SAE', wanted: missing, found });
  }
  const open = bindings.find((binding) => binding.saeId === null);
  if (open && profile.saeId === null && profile.features.some((feature) => feature.saeId === null)) {
    const details = { what: 'SAE', found, candidates: open.candidates };
    throw refuse('PROFILE_INCOMPATIBLE', profile, `is bound to no SAE. ${open.warnings.join(' ')}`, details);
  }
}

function refuseOutOfRange(profile: ProfileRecord, features: SteeringFeature[], attached: readonly KnownSae[]): void {
  for (const { index, sae_id } of features) {
    const sae = attached.find((known) => known.id === sae_id);
    if (!sae || sae.nFeatures === null || index < sae.nFeatures) continue;
    const what = `steers feature ${index}, and the SAE "${sae.id}" has features 0 to ${sae.nFeatures - 1}.`;
    throw refuse('PROFILE_INCOMPATIBLE', profile, what, {
      what: 'index',
      index,
      sae_id: sae.id,
      n_features: sae.nFeatures,
    });
  }
}

type Code =
  'PROFILE_INCOMPATIBLE' | 'SAE_NOT_ATTACHED' | 'SAE_SET_INCOMPLETE' | 'UNSUPPORTED_VALUE' | 'UNVALIDATED_CIRCUIT';

function refuse(
  code: Code,
  { name, id }: ProfileRecord,
  what: string,
  details: Record<string, unknown> = {},
): AppError {
  return new AppError(code, `The profile "${name}" ${what}`, {
    param: 'profile',
    details: { profile_id: id, ...details },
  });
}
