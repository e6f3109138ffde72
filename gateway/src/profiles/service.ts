// Profiles: made, changed, activated, exported. Which SAE a profile is for is decided in binding.ts and use.ts.
import { AppError } from '../errors.ts';
import type { DesiredRepository } from '../desired.ts';
import type { Steering } from '../steering/schemas.ts';
import { withinDial } from '../steering/resolve.ts';
import type { World } from './admit.ts';
import { bind } from './binding.ts';
import type { KnownSae } from './binding.ts';
import { clamp } from './exchange/cluster.ts';
import type { Format } from './exchange/draft.ts';
import { write, writeBundle } from './exchange/write.ts';
import type { Exported } from './exchange/write.ts';
import { toExportable } from './exportable.ts';
import { importer } from './import.ts';
import { newProfile, toFeatures } from './make.ts';
import type { NewProfileBody, ProfileChangeBody } from './schemas.ts';
import { NameTaken } from './repository.ts';
import type {
  NewProfile,
  ProfileRecord,
  ProfileRepository,
  ProfileSummary,
  RecordFeature,
  StoredProfile,
} from './repository.ts';
import { dialOf, refuseUnvalidated, steeringOf } from './use.ts';

export interface ProfileServiceOptions {
  profiles: ProfileRepository;
  desired: DesiredRepository;
  knownSaes: () => Promise<KnownSae[]>;
  /** The name in this catalogue of a model that a document names. */
  modelName: (name: string) => Promise<string | null>;
  loadedModel: () => Promise<World['loaded']>;
}

export interface ProfileView<T extends ProfileSummary = ProfileSummary> {
  profile: T;
  isActive: boolean;
}

export interface Activation {
  view: ProfileView<ProfileRecord>;
  appliedSteering: boolean;
}

export type ProfileService = ReturnType<typeof profileService>;

export function profileService({ profiles, desired, knownSaes, modelName, loadedModel }: ProfileServiceOptions) {
  const attached = async () => (await knownSaes()).filter((sae) => sae.attached);
  const around = async () => ({ attached: await attached(), modelName: (await loadedModel())?.name ?? null });

  const require = async (id: string): Promise<ProfileRecord> => found(id, await profiles.get(id));

  async function view<T extends ProfileSummary>(profile: T): Promise<ProfileView<T>> {
    return { profile, isActive: (await desired.get()).activeProfileId === profile.id };
  }

  async function create(profile: NewProfile): Promise<ProfileView<ProfileRecord>> {
    return view(await named(profile.name, () => profiles.create(profile)));
  }

  async function activate(id: string, isAcknowledged: boolean, applySteering = true): Promise<Activation> {
    const profile = await require(id);
    refuseUnvalidated(profile, isAcknowledged);
    const steering = activeSteering(profile, steeringOf(profile, await around()).features);
    if (profile.rung !== null && isAcknowledged) await profiles.update(profile, { acknowledged: true });
    await desired.update({ activeProfileId: id, ...(applySteering && { steering, steeringEnabled: true }) });
    return { view: await view(await require(id)), appliedSteering: applySteering };
  }

  async function worldFor(name: string | null): Promise<World> {
    return {
      saes: await knownSaes(),
      modelName: name === null ? null : await modelName(name),
      loaded: await loadedModel(),
    };
  }

  /** What the active configuration becomes when the active profile changes; undefined when it is not active. */
  async function reapplied(next: ProfileRecord): Promise<Steering | undefined> {
    const { activeProfileId, steering } = await desired.get();
    if (activeProfileId !== next.id) return undefined;
    if (steering === null) return undefined;
    return activeSteering(next, steeringOf(next, await around()).features) ?? { features: [] };
  }

  return {
    async list(): Promise<ProfileView[]> {
      const [all, { activeProfileId }] = await Promise.all([profiles.list(), desired.get()]);
      return all.map((profile) => ({ profile, isActive: profile.id === activeProfileId }));
    },
    get: async (id: string) => view(await require(id)),
    create: async (body: NewProfileBody) => create(await newProfile(body, { knownSaes, modelName })),
    activate,
    importDocument: importer({ profiles, world: worldFor, activate }),

    async deactivate(clearSteering: boolean): Promise<{ profile_id: string | null; cleared_steering: boolean }> {
      const { activeProfileId } = await desired.get();
      await desired.update({ activeProfileId: null, ...(clearSteering && { steering: null }) });
      return { profile_id: activeProfileId, cleared_steering: clearSteering };
    },

    async change(id: string, body: ProfileChangeBody): Promise<ProfileView<ProfileRecord>> {
      const profile = await require(id);
      const { name, description, features, intensity, sae_id, model } = body;
      if (intensity !== undefined) refuseDial(profile, intensity, body.acknowledge_unvalidated ?? false);
      if (features && (profile.format === 'circuit' || profile.format === 'probe')) {
        throw new AppError('CONFLICT', `The members of a ${profile.format} cannot be changed; import a new one.`);
      }
      const rebound = sae_id === undefined ? {} : rebind(profile, sae_id, await knownSaes());
      const isEdited = name !== undefined || description !== undefined || features !== undefined;
      const change = {
        ...(name !== undefined && { name }),
        ...(description !== undefined && { description }),
        ...(intensity !== undefined && { intensity }),
        ...(model !== undefined && { modelName: model === null ? null : ((await modelName(model)) ?? model) }),
        ...(features && {
          features: toFeatures(features, (await knownSaes()).find(({ id: known }) => known === profile.saeId) ?? null),
        }),
        ...rebound,
        ...(isEdited && { edited: true }),
      };
      const active = await reapplied({ ...profile, ...change });
      const changed = await named(name ?? profile.name, () => profiles.update(profile, change, active));
      const seen = await view(found(id, changed));
      if (seen.isActive) desired.written();
      return seen;
    },

    async remove(id: string): Promise<{ profile_id: string; was_active: boolean }> {
      const { isActive } = await view(await require(id));
      await profiles.remove(id);
      desired.written();
      return { profile_id: id, was_active: isActive };
    },

    /** The active configuration as a new profile. */
    async saveCurrent({ name, description }: { name: string; description?: string | null | undefined }) {
      const { steering } = await desired.get();
      const here = await attached();
      const only = here.length === 1 ? here[0]?.id : undefined;
      const body = {
        name,
        description: description ?? null,
        features: steering?.features ?? [],
        intensity: steering?.intensity ?? 1,
        sae_id: steering?.sae_id ?? steering?.features?.[0]?.sae_id ?? only ?? null,
        model: (await loadedModel())?.name ?? null,
      };
      return create(await newProfile(body, { knownSaes, modelName }));
    },

    async duplicate(id: string, name: string | undefined): Promise<ProfileView<ProfileRecord>> {
      const {
        id: _id,
        createdAt: _c,
        updatedAt: _u,
        featureCount: _f,
        acknowledged: _a,
        edited,
        ...copy
      } = await require(id);
      const taken = new Set((await profiles.list()).map((profile) => profile.name));
      let free = name ?? `${copy.name} (copy)`;
      for (let next = 2; name === undefined && taken.has(free); next += 1) free = `${copy.name} (copy ${next})`;
      const made = await create({ ...copy, name: free });
      return edited || made.profile.document !== null
        ? view(found(made.profile.id, await profiles.update(made.profile, { edited: true })))
        : made;
    },

    async exportOne(id: string, format: Format | null, layer: number | null): Promise<Exported> {
      const profile = await require(id);
      return write(toExportable(profile), format ?? profile.format, layer);
    },

    exportBundle: async (ids: string[]) => writeBundle((await Promise.all(ids.map(require))).map(toExportable)),

    /** The labels that a profile's entries bring, for one SAE. */
    async labels(id: string, saeId: string) {
      const profile = await require(id);
      const bound = new Map(profile.targets.map((target) => [target.layer, target.bound]));
      const saeOf = ({ saeId: own, layer }: RecordFeature) =>
        own ?? (layer === null ? profile.saeId : bound.get(layer));
      return profile.features.flatMap((feature) =>
        feature.label !== null && saeOf(feature) === saeId ? [{ index: feature.index, label: feature.label }] : [],
      );
    },

    /** A profile that a request names, as what it stands for now. */
    async forRequest(nameOrId: string): Promise<StoredProfile | null> {
      const profile = await profiles.find(nameOrId);
      if (!profile) return null;
      refuseUnvalidated(profile, profile.acknowledged);
      // Which model is asked for is the request's to say; the caller compares it.
      const steering = steeringOf(profile, { attached: await attached(), modelName: null });
      return { ...steering, id: profile.id, modelName: profile.modelName };
    },
  };
}

function found(id: string, profile: ProfileRecord | null): ProfileRecord {
  if (!profile) throw new AppError('PROFILE_NOT_FOUND', `There is no profile "${id}".`);
  return profile;
}

function activeSteering(profile: ProfileRecord, features: Steering['features']): Steering | null {
  if (!features || features.length === 0) return null;
  const dial = dialOf(profile);
  return { intensity: withinDial(profile.intensity, dial), sae_id: profile.saeId, features, ...(dial && { dial }) };
}

function refuseDial(profile: ProfileRecord, intensity: number, isAcknowledged: boolean): void {
  refuseUnvalidated(profile, isAcknowledged);
  const dial = dialOf(profile);
  if (!dial || clamp(intensity, [dial.low, dial.high]) === intensity) return;
  const message = `The intensity of "${profile.name}" goes from ${dial.low} to ${dial.high}, or 0; got ${intensity}.`;
  throw new AppError('VALIDATION_ERROR', message, {
    param: 'intensity',
    details: { intensity_range: [dial.low, dial.high] },
  });
}

/** An SAE chosen by a person: any whose feature space fits. */
function rebind(profile: ProfileRecord, saeId: string | null, saes: readonly KnownSae[]) {
  const [target, ...others] = profile.targets;
  if (saeId === null || !target) return { saeId, targets: target ? [{ ...target, bound: null }, ...others] : [] };
  if (profile.format === 'circuit') throw new AppError('CONFLICT', 'A circuit names its SAEs itself.');
  if (!saes.some((sae) => sae.id === saeId)) throw new AppError('SAE_NOT_FOUND', `There is no SAE "${saeId}".`);
  const binding = bind(target, saes, { chosen: saeId });
  if (binding.mismatch) {
    throw new AppError('PROFILE_INCOMPATIBLE', binding.warnings.join(' '), {
      param: 'sae_id',
      details: { ...binding.mismatch },
    });
  }
  return { saeId, targets: [{ ...target, bound: saeId }, ...others] };
}

async function named<T>(name: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof NameTaken)) throw error;
    throw new AppError('CONFLICT', `There is already a profile named "${name}".`, { param: 'name', details: { name } });
  }
}
