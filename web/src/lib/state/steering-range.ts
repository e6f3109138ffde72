/** Which strengths make sense for a feature. The law is ±300 decoder rows; a slider that wide would be useless. Pure. */
import type { FeatureSummary } from '#lib/api/types.ts';

export const STRENGTH_LIMIT = 300;
const RANGE_OVER_MAX_ACTIVATION = 1.5;
const FALLBACK_LIMIT = 30;
const STEPS_PER_SIDE = 100;

export interface SteeringRange {
  limit: number;
  step: number;
  /** Where the slider starts: strong enough to see, weak enough to stay coherent. */
  suggested: number;
}

export function steeringRange(feature: FeatureSummary | null): SteeringRange {
  const peak = feature?.max_activation ?? 0;
  const known = feature?.suggested_strength ?? null;
  const wanted = Math.max(peak * RANGE_OVER_MAX_ACTIVATION, Math.abs(known ?? 0) * 2);
  const limit = wanted > 0 ? clamp(niceCeil(wanted), 1, STRENGTH_LIMIT) : FALLBACK_LIMIT;
  const step = niceFloor(limit / STEPS_PER_SIDE);
  const suggested = known ?? (peak > 0 ? peak * 0.75 : limit / 3);
  return { limit, step, suggested: clamp(snap(suggested, step), -limit, limit) };
}

/** Any number a person typed, made a legal strength. */
export function legalStrength(value: number): number {
  if (!Number.isFinite(value)) return 0;
  return clamp(Math.round(value * 100) / 100, -STRENGTH_LIMIT, STRENGTH_LIMIT);
}

export function snap(value: number, step: number): number {
  return Number((Math.round(value / step) * step).toFixed(4));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

function niceCeil(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value));
  return ([1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((m) => m * unit >= value - 1e-9) ?? 10) * unit;
}

function niceFloor(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value));
  return Number((([5, 2, 1].find((m) => m * unit <= value + 1e-12) ?? 1) * unit).toPrecision(6));
}
