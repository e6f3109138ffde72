// A stored profile → a document. What was imported and not changed here goes out as it came in. Pure.
import { AppError } from '../../errors.ts';
import { isObject } from './fields.ts';
import type { Json } from './fields.ts';
import type { Format, Target } from './draft.ts';
import { parseExact } from './json.ts';
import { mergeEntries, mergeMembers, withoutNulls } from './merge.ts';
import { slice } from './slice.ts';

export interface OutFeature {
  index: number;
  op: string;
  strength: number | null;
  label: string | null;
  options: Json | null;
  saeId: string | null;
  layer: number | null;
}

export interface Exportable {
  name: string;
  description: string | null;
  format: Format;
  document: string | null;
  edited: boolean;
  modelName: string | null;
  targets: Target[];
  features: OutFeature[];
  /** The document's own dial, not where somebody turned it. */
  intensity: number;
  intensityRange: [number, number] | null;
  createdAt: Date;
  updatedAt: Date;
}

export interface Exported {
  document: Json;
  /** What the format has no room for. */
  leftOut: string[];
}

const cluster = { kind: 'mistudio.cluster-definition', schema_version: '1' };
const mostMembers = 20;

export function write(profile: Exportable, format: Format, layer: number | null = null): Exported {
  const stored = profile.document === null ? null : (parseExact(profile.document) as Json);
  if (format === profile.format && stored !== null && !profile.edited) {
    return { document: format === 'cluster' ? { ...cluster, ...stored } : stored, leftOut: [] };
  }
  const base = format === profile.format ? stored : null;
  switch (format) {
    case 'spec':
    case 'p3':
      return writeList(profile, format, base);
    case 'p1':
      return writeMap(profile, base);
    case 'cluster':
      if (profile.format === 'circuit') return slice(profile, stored ?? {}, layer);
      return writeCluster(profile, base);
    case 'circuit':
    case 'probe':
      if (base) return { document: withHead(base, profile, 'narrative'), leftOut: [] };
      throw new AppError('VALIDATION_ERROR', `"${profile.name}" is no ${format}, so it cannot be exported as one.`);
  }
}

function writeList(profile: Exportable, format: 'spec' | 'p3', base: Json | null): Exported {
  const target = profile.targets[0];
  const leftOut: string[] = [];
  const factor = format === 'p3' ? profile.intensity : 1;
  if (factor !== 1) leftOut.push(`The intensity ${factor} was multiplied into the strengths.`);
  const entries = profile.features.map(({ index, op, strength, label, options, saeId }) => ({
    index,
    ...(op !== 'add' && { op }),
    ...(strength !== null && { strength: strength * factor }),
    ...options,
    ...(label !== null && { label }),
    ...(saeId !== null && isElsewhere(saeId, profile) && { sae_id: saeId }),
  }));
  const dates = { created_at: profile.createdAt.toISOString(), updated_at: profile.updatedAt.toISOString() };
  const document: Json = {
    version: '1.0',
    ...base,
    name: profile.name,
    ...(profile.description !== null || base ? { description: profile.description } : {}),
    ...(base ? {} : { model: withoutNulls({ repo_id: profile.modelName }) }),
    ...(base
      ? {}
      : {
          sae: withoutNulls({ repo_id: target?.repoId, id: target?.saeId, path: target?.path, layer: target?.layer }),
        }),
    features: mergeEntries(base?.['features'], entries),
    ...(profile.format === 'spec' && profile.intensity !== 1 && format === 'spec' && { intensity: profile.intensity }),
    ...(base ? {} : format === 'p3' ? { exported_at: new Date().toISOString() } : dates),
  };
  if (format === 'spec' && profile.format !== 'spec' && profile.intensity !== 1)
    document['intensity'] = profile.intensity;
  return { document, leftOut };
}

const isElsewhere = (saeId: string, { targets }: Exportable) => saeId !== targets[0]?.saeId;

/** Formats with room for plain additions to one SAE only. */
function plainOnly(profile: Exportable, what: string): { features: OutFeature[]; leftOut: string[] } {
  const leftOut: string[] = [];
  const main = profile.targets[0]?.saeId ?? profile.features[0]?.saeId ?? null;
  const features = profile.features.filter(({ index, op, options, saeId }) => {
    const reason =
      op !== 'add'
        ? `the operation ${op}`
        : options !== null
          ? Object.keys(options).join(' and ')
          : saeId !== null && main !== null && saeId !== main
            ? `the SAE ${saeId}`
            : null;
    if (reason !== null) leftOut.push(`Feature ${index}: ${what} has no room for ${reason}.`);
    return reason === null;
  });
  return { features, leftOut };
}

function writeMap(profile: Exportable, base: Json | null): Exported {
  const { features, leftOut } = plainOnly(profile, 'P1');
  const target = profile.targets[0];
  if (profile.intensity !== 1) leftOut.push(`The intensity ${profile.intensity} was multiplied into the strengths.`);
  const strengths = features.map(({ index, strength }) => [index, (strength ?? 0) * profile.intensity]);
  const document = {
    version: '1.0',
    ...base,
    name: profile.name,
    description: profile.description,
    ...(base ? {} : { model_id: profile.modelName, sae_id: target?.saeId ?? null, layer: target?.layer ?? null }),
    steering: Object.fromEntries(strengths) as Json,
    ...(base ? {} : { created_at: profile.createdAt.toISOString(), updated_at: profile.updatedAt.toISOString() }),
  };
  return { document, leftOut };
}

function writeCluster(profile: Exportable, base: Json | null): Exported {
  const { features, leftOut } = plainOnly(profile, 'a cluster');
  if (features.length === 0 || features.length > mostMembers) {
    const message = `A cluster has 1 to ${mostMembers} members; "${profile.name}" has ${features.length} that fit.`;
    throw new AppError('VALIDATION_ERROR', message, { details: { left_out: leftOut } });
  }
  const target = profile.targets[0];
  const sae = withoutNulls({
    mistudio_sae_id: target?.saeId,
    layer: target?.layer,
    hook_type: target?.hookType,
    n_features: target?.nFeatures,
    d_model: target?.dModel,
    source_hint: target?.repoId ? `hf:${[target.repoId, target.path].filter(Boolean).join('/')}` : null,
  });
  const members = features.map(({ index, strength, label }) =>
    withoutNulls({ feature_idx: index, label, strength: strength ?? 0, sign: (strength ?? 0) < 0 ? -1 : 1 }),
  );
  const document = {
    ...cluster,
    ...(base
      ? withHead(base, profile, 'narrative')
      : withoutNulls({
          name: profile.name,
          narrative: profile.description,
          model: profile.modelName === null ? null : { hf_id: profile.modelName },
          sae,
          budget: { intensity: profile.intensity, intensity_range: profile.intensityRange ?? [0, 2] },
          provenance: { created_at: profile.createdAt.toISOString(), exported_at: new Date().toISOString() },
        })),
    members: mergeMembers(base?.['members'], members),
  };
  return { document, leftOut };
}

/** Name and description as they are here now; an absent description stays absent. */
function withHead(base: Json, { name, description }: Exportable, key: string): Json {
  const isSame = (base[key] ?? null) === description;
  return { ...base, name, ...(isSame ? {} : { [key]: description }) };
}

export function writeBundle(profiles: readonly Exportable[]): Json {
  const definitions = profiles.map((profile) => {
    const isStored = profile.format === 'cluster' && profile.document !== null && !profile.edited;
    return isStored && profile.document !== null ? parseExact(profile.document) : write(profile, 'cluster').document;
  });
  return { kind: 'mistudio.cluster-bundle', schema_version: '1', definitions: definitions.filter(isObject) };
}
