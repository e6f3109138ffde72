// A profile made here, from the features that somebody chose. The database is behind two functions.
import { AppError } from '../errors.ts';
import type { KnownSae } from './binding.ts';
import { optionKeys } from './exchange/operation.ts';
import type { NewProfile, RecordFeature } from './repository.ts';
import type { FeatureBody, NewProfileBody } from './schemas.ts';

interface Catalogue {
  knownSaes: () => Promise<KnownSae[]>;
  modelName: (name: string) => Promise<string | null>;
}

export async function newProfile(body: NewProfileBody, { knownSaes, modelName }: Catalogue): Promise<NewProfile> {
  const saes = await knownSaes();
  const attached = saes.filter((sae) => sae.attached);
  const id = body.sae_id ?? (attached.length === 1 ? (attached[0]?.id ?? null) : null);
  const sae = saes.find((known) => known.id === id) ?? null;
  if (body.sae_id != null && !sae)
    throw new AppError('SAE_NOT_FOUND', `There is no SAE "${body.sae_id}".`, { param: 'sae_id' });
  const [low, high] = body.intensity_range ?? [null, null];
  return {
    name: body.name,
    description: body.description ?? null,
    format: 'spec',
    modelName: body.model == null ? null : ((await modelName(body.model)) ?? body.model),
    saeId: id,
    intensity: body.intensity ?? 1,
    intensityMin: low,
    intensityMax: high,
    targets: sae
      ? [
          {
            ...{ layer: sae.layer, saeId: sae.id, repoId: sae.repoId, path: sae.repoPath },
            ...{ nFeatures: sae.nFeatures, dModel: sae.dModel, hookType: null, bound: sae.id },
          },
        ]
      : [],
    warnings: [],
    rung: null,
    document: null,
    features: toFeatures(body.features, sae),
  };
}

export function toFeatures(features: readonly FeatureBody[], sae: KnownSae | null): RecordFeature[] {
  const seen = new Set<string>();
  return features.map((feature, position) => {
    const { index, op, strength, label, sae_id, when, scope } = feature;
    const param = `features[${position}].index`;
    const key = JSON.stringify([sae_id ?? null, index, op ?? 'add', when, scope]);
    if (seen.has(key)) throw new AppError('VALIDATION_ERROR', `Feature ${index} is listed twice.`, { param });
    seen.add(key);
    const size = sae_id == null || sae_id === sae?.id ? (sae?.nFeatures ?? null) : null;
    if (sae && size !== null && index >= size) {
      const message = `Feature index ${index} is out of range: the SAE "${sae.id}" has features 0 to ${size - 1}.`;
      throw new AppError('INVALID_FEATURE_INDEX', message, { param, details: { index, d_sae: size, sae_id: sae.id } });
    }
    const options = Object.fromEntries(
      optionKeys.flatMap((name) => (feature[name] == null ? [] : [[name, feature[name]]])),
    );
    return {
      index,
      op: op ?? 'add',
      strength: strength ?? null,
      label: label ?? null,
      options: Object.keys(options).length > 0 ? options : null,
      saeId: sae_id ?? null,
      layer: null,
    };
  });
}
