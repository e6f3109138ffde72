// Profile + inline features + intensity → the SteeringSpec that travels with a request. Pure.
import { AppError } from '../errors.ts';
import type { AttachedSae, FeatureSteering, Schemas, SteeringSpec } from '../inference/contract.ts';
import { fingerprint } from './fingerprint.ts';
import { isAdditive } from './schemas.ts';
import type { Steering, SteeringFeature } from './schemas.ts';

/** What a profile contributes: its features at intensity 1, and its own dial. */
export interface ProfileSteering {
  name: string;
  saeId: string | null;
  intensity: number;
  /** What its document lets the dial be. */
  dial?: DialRange | null;
  features: SteeringFeature[];
}

export interface DialRange {
  low: number;
  high: number;
  /** A circuit's dial is also raised to its lower end; a cluster honours lower values. */
  isFloor: boolean;
}

export interface SteeringInput {
  /** Inline steering of the request; null = absent. */
  inline: Steering | null;
  profile: ProfileSteering | null;
  /** The server's active configuration, used by requests that name neither. */
  active: Steering | null;
  attached: readonly AttachedSae[];
  /** What the request's path of an offending feature starts with. */
  path?: string;
}

export interface ResolvedSteering {
  spec: SteeringSpec | null;
  /** `none`, or the fingerprint of what is applied. */
  name: string;
  intensity: number;
}

export const unsteered: ResolvedSteering = { spec: null, name: 'none', intensity: 1 };

interface Candidate {
  feature: SteeringFeature;
  saeId: string | null;
  /** Where the client finds it; null = not in this request. */
  path: string | null;
  intensity: number;
}

export function resolveSteering(input: SteeringInput): ResolvedSteering {
  const { inline, profile, active, attached } = input;
  if (inline?.enabled === false) return unsteered;
  const candidates = collect(input);
  const asked = inline?.intensity ?? profile?.intensity ?? active?.intensity ?? 1;
  const intensity = withinDial(asked, profile ? profile.dial : active && dialOf(active));
  const isFromServer = inline?.features == null && profile === null;
  const features: FeatureSteering[] = [];
  for (const candidate of candidates) {
    const sae = isFromServer ? findSae(candidate.saeId, attached) : requireSae(candidate, attached);
    // The active configuration applies to clients unaware of it: what is not attached now is left out, not an error.
    if (sae === null || (isFromServer && !isApplicable(candidate.feature, sae, attached))) continue;
    features.push(toContract(candidate, sae, attached));
  }
  const applied = merge(features);
  if (applied.length === 0) return { ...unsteered, intensity };
  const name = fingerprint(applied);
  return { spec: { fingerprint: name, features: applied }, name, intensity };
}

function isApplicable(feature: SteeringFeature, sae: AttachedSae, attached: readonly AttachedSae[]): boolean {
  const { index, op, when } = feature;
  const watched = when?.sae_id == null ? sae : findSae(when.sae_id, attached);
  if (watched === null || (when != null && when.index >= watched.d_sae)) return false;
  return index < sae.d_sae && canServe(sae, op ?? 'add');
}

/** An SAE that names no operations serves them all. */
function canServe({ operations = [] }: AttachedSae, op: Schemas['SteeringOp']): boolean {
  return operations.length === 0 || operations.includes(op);
}

function collect({ inline, profile, active, path = 'steering' }: SteeringInput): Candidate[] {
  const out: Candidate[] = [];
  const add = (features: SteeringFeature[], saeId: string | null, intensity: number, from: string | null) =>
    features.forEach((feature, position) =>
      out.push({
        feature,
        saeId: feature.sae_id ?? saeId,
        intensity,
        path: from === null ? null : `${from}.features[${position}]`,
      }),
    );
  const dial = inline?.intensity ?? null;
  if (profile) add(profile.features, profile.saeId, withinDial(dial ?? profile.intensity, profile.dial), null);
  if (inline?.features) {
    refuseDuplicates(inline.features, path);
    add(inline.features, inline.sae_id ?? null, dial ?? 1, path);
  }
  if (!profile && !inline?.features && active?.features && active.enabled !== false) {
    add(active.features, active.sae_id ?? null, withinDial(dial ?? active.intensity ?? 1, dialOf(active)), null);
  }
  return out;
}

/** The active configuration remembers the range of the profile that it came from. */
const dialOf = (active: Steering) => active['dial'] as DialRange | undefined;

/** A request's dial is moved into the range that the profile declares; 0, which is off, is always allowed. */
export function withinDial(intensity: number, dial: DialRange | null | undefined): number {
  if (!dial || intensity === 0) return intensity;
  return Math.min(dial.isFloor ? Math.max(intensity, dial.low) : intensity, dial.high);
}

/** Two unconditional entries for one feature and operation are a mistake; what differs in op, when or scope is not. */
function refuseDuplicates(features: SteeringFeature[], path: string): void {
  const seen = new Set<string>();
  features.forEach((feature, position) => {
    if (feature.when != null || feature.scope != null) return;
    const key = JSON.stringify([feature.sae_id ?? null, feature.index, feature.op ?? 'add']);
    if (seen.has(key)) {
      throw new AppError('VALIDATION_ERROR', `Feature ${feature.index} is listed twice.`, {
        param: `${path}.features[${position}].index`,
      });
    }
    seen.add(key);
  });
}

function findSae(saeId: string | null, attached: readonly AttachedSae[]): AttachedSae | null {
  if (saeId !== null) return attached.find((sae) => sae.sae_id === saeId) ?? null;
  return attached.length === 1 ? (attached[0] ?? null) : null;
}

function requireSae(candidate: Pick<Candidate, 'saeId' | 'path'>, attached: readonly AttachedSae[]): AttachedSae {
  const param = candidate.path === null ? null : `${candidate.path}.sae_id`;
  return attachedSae(candidate.saeId, attached, param);
}

/** The named SAE, or the only one; else an error that says what could have been meant. */
export function attachedSae(saeId: string | null, attached: readonly AttachedSae[], param: string | null): AttachedSae {
  const found = findSae(saeId, attached);
  if (found) return found;
  const names = attached.map((sae) => `"${sae.sae_id}"`).join(', ');
  if (saeId !== null) {
    const hint = names === '' ? 'No SAE is attached.' : `Attached: ${names}.`;
    throw new AppError('SAE_NOT_ATTACHED', `The SAE "${saeId}" is not attached. ${hint}`, { param });
  }
  if (names === '') throw new AppError('SAE_NOT_ATTACHED', 'No SAE is attached.', { param });
  throw new AppError('SAE_NOT_ATTACHED', `Several SAEs are attached; name one in sae_id: ${names}.`, { param });
}

export function requireIndex(index: number, sae: AttachedSae, param: string | null): void {
  if (index < sae.d_sae) return;
  throw new AppError(
    'INVALID_FEATURE_INDEX',
    `Feature index ${index} is out of range: the SAE "${sae.sae_id}" has features 0 to ${sae.d_sae - 1}.`,
    { param, details: { index, d_sae: sae.d_sae, sae_id: sae.sae_id } },
  );
}

function toContract(
  { feature, path, intensity }: Candidate,
  sae: AttachedSae,
  attached: readonly AttachedSae[],
): FeatureSteering {
  const op = feature.op ?? 'add';
  requireIndex(feature.index, sae, path && `${path}.index`);
  if (!canServe(sae, op)) {
    throw new AppError('UNSUPPORTED_VALUE', `The SAE "${sae.sae_id}" cannot serve the operation "${op}".`, {
      param: path && `${path}.op`,
    });
  }
  let when: Schemas['SteeringCondition'] | null = null;
  if (feature.when != null) {
    const { index, sae_id, above, below, mode } = feature.when;
    const watched = sae_id == null ? sae : requireWatched(sae_id, attached, path);
    requireIndex(index, watched, path && `${path}.when.index`);
    when = { index, sae_id: watched.sae_id, above: above ?? null, below: below ?? null, mode: mode ?? 'token' };
  }
  return {
    sae_id: sae.sae_id,
    index: feature.index,
    op,
    strength: isAdditive(op) ? (feature.strength ?? 0) * intensity : null,
    value: op === 'clamp' || op === 'multiply' ? (feature.value ?? null) : null,
    min: op === 'clamp_range' ? (feature.min ?? null) : null,
    max: op === 'clamp_range' ? (feature.max ?? null) : null,
    when,
    scope: toScope(feature.scope),
  };
}

function requireWatched(saeId: string, attached: readonly AttachedSae[], path: string | null): AttachedSae {
  return attachedSae(saeId, attached, path && `${path}.when.sae_id`);
}

function toScope(scope: SteeringFeature['scope']): Schemas['SteeringScope'] | null {
  if (scope == null) return null;
  return {
    roles: scope.roles ?? null,
    positions: scope.positions ?? null,
    phase: scope.phase ?? 'both',
    special_tokens: scope.special_tokens ?? true,
  };
}

/** Plain additions to one feature become one; those that add nothing go. Order stays the order of first mention. */
function merge(features: FeatureSteering[]): FeatureSteering[] {
  const out: FeatureSteering[] = [];
  const sums = new Map<string, FeatureSteering>();
  for (const feature of features) {
    const isPlain = feature.op === 'add' && feature.when == null && feature.scope == null;
    const key = `${feature.sae_id} ${feature.index}`;
    const sum = isPlain ? sums.get(key) : undefined;
    if (sum) {
      sum.strength = (sum.strength ?? 0) + (feature.strength ?? 0);
      continue;
    }
    const own = { ...feature };
    if (isPlain) sums.set(key, own);
    out.push(own);
  }
  return out.filter((feature) => !isAdditive(feature.op) || feature.strength !== 0);
}

/** A suppression stays a suppression, whatever its cluster's sign says. */
export function effectiveStrength(strength: number, sign = 1): number {
  return strength < 0 ? strength : sign * strength;
}
