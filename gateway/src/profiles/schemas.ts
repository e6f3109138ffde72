import { z } from 'zod';
import { maxFeatures, maxIntensity, steeringFeature } from '../steering/schemas.ts';
import { formats } from './exchange/draft.ts';
import { rungLanguage } from './exchange/circuit.ts';
import type { ProfileRecord, ProfileSummary } from './repository.ts';
import type { ProfileView } from './service.ts';

const name = z.string().trim().min(1).max(120);
const description = z.string().max(10_000).nullable();
const intensity = z.number().min(0).max(maxIntensity);
const featureBody = steeringFeature.and(z.looseObject({ label: z.string().max(500).nullish() }));
const features = z.array(featureBody).max(maxFeatures);
const range = z
  .tuple([intensity, intensity])
  .refine(([low, high]) => low <= high, { error: 'The two ends are in the wrong order.' });

export const newProfileBody = z.object({
  name,
  description: description.optional(),
  model: z.string().nullish(),
  sae_id: z.string().nullish(),
  intensity: intensity.optional(),
  intensity_range: range.nullish(),
  features: features.default([]),
});

export const profileChangeBody = z.object({
  name: name.optional(),
  description: description.optional(),
  model: z.string().nullish(),
  sae_id: z.string().nullish(),
  intensity: intensity.optional(),
  features: features.optional(),
  /** Needed to turn the dial of a circuit below rung 2. */
  acknowledge_unvalidated: z.boolean().optional(),
});

export type FeatureBody = z.output<typeof featureBody>;
export type NewProfileBody = z.output<typeof newProfileBody>;
export type ProfileChangeBody = z.output<typeof profileChangeBody>;

export const profileWire = z
  .object({
    id: z.string(),
    name: z.string(),
    description: z.string().nullable(),
    format: z.enum(formats),
    source_kind: z.enum(['manual', 'cluster', 'circuit', 'probe']),
    model: z.string().nullable(),
    sae_id: z.string().nullable(),
    layer: z.int().nullable(),
    layers: z.array(z.int()),
    intensity: z.number(),
    intensity_range: z.array(z.number()).nullable(),
    feature_count: z.int(),
    bound: z.boolean(),
    is_active: z.boolean(),
    rung: z.int().nullable(),
    rung_language: z.string().nullable(),
    edited: z.boolean(),
    warnings: z.array(z.string()),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'Profile' });

const profileFeature = z.looseObject({
  index: z.int(),
  op: z.string(),
  strength: z.number().nullable(),
  label: z.string().nullable(),
  sae_id: z.string().nullable(),
  layer: z.int().nullable(),
});

export const profileDetail = z
  .object({ ...profileWire.shape, features: z.array(profileFeature) })
  .meta({ id: 'ProfileDetail' });

export function toWire({ profile, isActive }: ProfileView): z.output<typeof profileWire> {
  const { format, rung, intensityMin, intensityMax, targets } = profile;
  const isPlain = format === 'spec' || format === 'p1' || format === 'p3';
  const layers = targets.flatMap(({ layer }) => (layer === null ? [] : [layer]));
  return {
    id: profile.id,
    name: profile.name,
    description: profile.description,
    format,
    source_kind: isPlain ? 'manual' : format,
    model: profile.modelName,
    sae_id: profile.saeId,
    layer: layers.length === 1 ? (layers[0] ?? null) : null,
    layers,
    intensity: profile.intensity,
    intensity_range: intensityMin === null || intensityMax === null ? null : [intensityMin, intensityMax],
    feature_count: profile.featureCount,
    bound: isBound(profile),
    is_active: isActive,
    rung,
    rung_language: rung === null ? null : (rungLanguage[rung] ?? null),
    edited: profile.edited,
    warnings: profile.warnings,
    created_at: profile.createdAt.toISOString(),
    updated_at: profile.updatedAt.toISOString(),
  };
}

export function toDetail(view: ProfileView<ProfileRecord>): z.output<typeof profileDetail> {
  const { features, targets, saeId } = view.profile;
  const boundAt = (layer: number | null) => targets.find((target) => target.layer === layer)?.bound ?? saeId;
  return {
    ...toWire(view),
    features: features.map(({ options, saeId: own, ...feature }) => ({
      ...options,
      ...feature,
      sae_id: own ?? (feature.layer === null ? saeId : boundAt(feature.layer)),
    })),
  };
}

const isBound = ({ saeId, targets, format }: ProfileSummary) =>
  format === 'circuit' ? targets.every((target) => target.bound !== null) : saeId !== null;

const dropped = z.object({ key: z.string(), path: z.string(), value: z.unknown(), reason: z.string() });
const failure = z.object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()) });

export const importAnswer = z
  .object({
    profile: profileDetail.nullable().describe('What was stored, when it was one.'),
    profiles: z.array(profileWire),
    status: z.string(),
    warnings: z.array(z.string()),
    dropped: z.array(dropped),
    results: z.array(
      z.object({
        name: z.string(),
        status: z.enum(['imported', 'imported_unbound', 'blocked', 'error']),
        profile_id: z.string().nullable(),
        warnings: z.array(z.string()),
        dropped: z.array(dropped),
        error: failure.nullable(),
      }),
    ),
    imported: z.int(),
    blocked: z.int(),
    errors: z.int(),
  })
  .meta({ id: 'ImportAnswer' });
