// Which steering a request gets, and the active configuration that requests naming none inherit.
import { AppError } from '../errors.ts';
import type { DesiredRepository } from '../desired.ts';
import type { AttachedSae } from '../inference/contract.ts';
import type { StoredProfile } from '../profiles/repository.ts';
import { resolveSteering, unsteered } from './resolve.ts';
import type { ResolvedSteering } from './resolve.ts';
import { isAdditive } from './schemas.ts';
import type { Steering, SteeringFeature } from './schemas.ts';

export interface SteeringServiceOptions {
  desired: DesiredRepository;
  findProfile: (nameOrId: string) => Promise<StoredProfile | null>;
  attached: () => readonly AttachedSae[];
  label: (saeId: string, index: number) => Promise<string | null>;
}

/** What a request says about steering. */
export interface SteeringAsk {
  steering: Steering | null;
  profile: string | null;
  modelName: string;
}

export interface ActiveSteering {
  enabled: boolean;
  intensity: number;
  sae_id: string | null;
  features: (SteeringFeature & { label: string | null })[];
}

export interface FeatureChange {
  strength?: number | null | undefined;
  value?: number | null | undefined;
  op?: SteeringFeature['op'];
  sae_id?: string | null | undefined;
}

export type SteeringService = ReturnType<typeof steeringService>;

export function steeringService({ desired, findProfile, attached, label }: SteeringServiceOptions) {
  /** The active configuration, or null when it is off or empty. */
  async function active(): Promise<Steering | null> {
    const { steering, steeringEnabled } = await desired.get();
    return steeringEnabled ? steering : null;
  }

  async function profileOf(ask: SteeringAsk): Promise<StoredProfile | null> {
    if (ask.profile === null) return null;
    const profile = await findProfile(ask.profile);
    if (!profile) {
      throw new AppError('PROFILE_NOT_FOUND', `There is no profile "${ask.profile}".`, { param: 'profile' });
    }
    refuseIncompatible(profile, ask.modelName, attached());
    return profile;
  }

  async function describe(): Promise<ActiveSteering> {
    const { steering, steeringEnabled } = await desired.get();
    const only = attached().length === 1 ? (attached()[0]?.sae_id ?? null) : null;
    const features = (steering?.features ?? []).map(async (feature) => {
      const saeId = feature.sae_id ?? steering?.sae_id ?? only;
      return { ...feature, label: saeId === null ? null : await label(saeId, feature.index) };
    });
    return {
      enabled: steeringEnabled,
      intensity: steering?.intensity ?? 1,
      sae_id: steering?.sae_id ?? null,
      features: await Promise.all(features),
    };
  }

  async function store(steering: Steering | null): Promise<ActiveSteering> {
    if (steering && attached().length > 0) {
      resolveSteering({ inline: { ...steering, enabled: true }, profile: null, active: null, attached: attached() });
    }
    const enabled = steering?.enabled;
    await desired.update({ steering, ...(enabled != null && { steeringEnabled: enabled }) });
    return describe();
  }

  return {
    describe,
    store,
    clear: () => store(null),

    async setEnabled(isEnabled: boolean): Promise<ActiveSteering> {
      await desired.update({ steeringEnabled: isEnabled });
      return describe();
    },

    /** Sets one feature of the active configuration; a `null` strength or value takes it out. */
    async setFeature(index: number, change: FeatureChange): Promise<ActiveSteering> {
      const { steering } = await desired.get();
      const features = [...(steering?.features ?? [])];
      const at = features.findIndex(
        (feature) => feature.index === index && (change.sae_id == null || feature.sae_id === change.sae_id),
      );
      const isRemoval = change.strength === null || change.value === null;
      if (isRemoval && at >= 0) features.splice(at, 1);
      if (!isRemoval) {
        const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value != null));
        const next = { ...features[at], ...given, index } as SteeringFeature;
        if (isAdditive(next.op ?? 'add') && next.strength == null) next.strength = 0;
        features.splice(at >= 0 ? at : features.length, at >= 0 ? 1 : 0, next);
      }
      return store({ ...steering, features });
    },

    /** What is applied to a request. Needs the SAEs attached that should be. */
    async forRequest(ask: SteeringAsk): Promise<ResolvedSteering> {
      if (ask.steering?.enabled === false) return unsteered;
      const profile = await profileOf(ask);
      const inherits = profile === null && ask.steering?.features == null;
      return resolveSteering({
        inline: ask.steering,
        profile,
        active: inherits ? await active() : null,
        attached: attached(),
      });
    },

    /** Whether answering this request can involve an SAE at all. */
    async needsSae(ask: SteeringAsk): Promise<boolean> {
      if (ask.steering?.enabled === false) return false;
      if (ask.profile !== null || ask.steering?.features != null) return true;
      return ((await active())?.features ?? []).length > 0;
    },
  };
}

function refuseIncompatible(profile: StoredProfile, modelName: string, attached: readonly AttachedSae[]): void {
  const differs = (what: string, wanted: string, found: string) =>
    new AppError(
      'PROFILE_INCOMPATIBLE',
      `The profile "${profile.name}" is for the ${what} "${wanted}", not ${found}.`,
      { param: 'profile', details: { what, wanted, found } },
    );
  if (profile.modelName !== null && profile.modelName !== modelName) {
    throw differs('model', profile.modelName, `"${modelName}"`);
  }
  if (attached.length === 0) {
    throw new AppError('SAE_NOT_ATTACHED', `The profile "${profile.name}" needs an SAE, and none is attached.`, {
      param: 'profile',
    });
  }
  const wanted = [profile.saeId, ...profile.features.map((feature) => feature.sae_id ?? null)];
  const missing = wanted.find((saeId) => saeId != null && !attached.some((sae) => sae.sae_id === saeId));
  if (missing != null) throw differs('SAE', missing, attached.map((sae) => `"${sae.sae_id}"`).join(', '));
}
