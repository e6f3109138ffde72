import { z } from 'zod';
import { maxIntensity } from '../steering/schemas.ts';
import type { Steering } from '../steering/schemas.ts';
import { AppError } from '../errors.ts';

const words = { off: 0, min: 0.5, max: maxIntensity } as const;

/** `steering_intensity`: a number, or the word a dial uses for its ends. */
export const intensityAlias = z.union([
  z.number().refine((value) => value >= 0 && value <= maxIntensity, {
    error: (issue) => `steering_intensity must be in [0, ${maxIntensity}], got ${String(issue.input)}.`,
  }),
  z.enum(['off', 'min', 'max']),
]);

type Alias = z.output<typeof intensityAlias>;

/** Folds the alias into `steering`; the two may not disagree. */
export function withIntensity(steering: Steering | null | undefined, alias: Alias | null | undefined): Steering | null {
  if (alias == null) return steering ?? null;
  const intensity = typeof alias === 'number' ? alias : words[alias];
  if (steering?.intensity != null && steering.intensity !== intensity) {
    const message = `steering_intensity is ${intensity} but steering.intensity is ${steering.intensity}.`;
    throw new AppError('VALIDATION_ERROR', message, { param: 'steering_intensity' });
  }
  return { ...steering, intensity };
}
