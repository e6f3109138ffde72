// The public shape of steering: `steering` on /v1, and the active configuration on /api.
import { z } from 'zod';

export const strengthLimit = 300;
export const maxIntensity = 2;
export const maxFeatures = 1024;

export const operations = [
  'add',
  'clamp',
  'clamp_range',
  'multiply',
  'ablate',
  'ablate_direction',
  'orthogonal',
  'norm_add',
] as const;

/** Operations whose coefficient is `strength`, and which intensity scales. */
const additive: ReadonlySet<string> = new Set(['add', 'norm_add', 'orthogonal']);
export const isAdditive = (op: string) => additive.has(op);

const index = z.int().min(0);
const finite = z.number();

const condition = z.looseObject({
  index,
  sae_id: z.string().nullish(),
  above: finite.nullish(),
  below: finite.nullish(),
  mode: z.enum(['token', 'latched', 'prompt']).nullish(),
});

const scope = z.looseObject({
  roles: z.array(z.string()).nullish(),
  positions: z.array(z.int()).length(2).nullish(),
  phase: z.enum(['both', 'prompt', 'generated']).nullish(),
  special_tokens: z.boolean().nullish(),
});

export const steeringFeature = z
  .looseObject({
    index,
    op: z.enum(operations).nullish(),
    strength: finite.nullish(),
    value: finite.nullish(),
    min: finite.nullish(),
    max: finite.nullish(),
    sae_id: z.string().nullish(),
    when: condition.nullish(),
    scope: scope.nullish(),
  })
  .superRefine((feature, context) => {
    const problem = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    const op = feature.op ?? 'add';
    if (isAdditive(op)) {
      if (feature.strength == null) problem('strength', `strength is required for op "${op}".`);
      else if (Math.abs(feature.strength) > strengthLimit) {
        problem('strength', `strength must be in [-${strengthLimit}, ${strengthLimit}], got ${feature.strength}.`);
      }
    }
    if ((op === 'clamp' || op === 'multiply') && feature.value == null) {
      problem('value', `value is required for op "${op}".`);
    }
    if (op === 'clamp_range') {
      if (feature.min == null && feature.max == null) problem('min', 'op "clamp_range" needs min, max or both.');
      else if (feature.min != null && feature.max != null && feature.min > feature.max) {
        problem('min', `min must not be above max, got ${feature.min} and ${feature.max}.`);
      }
    }
    if (feature.when != null && feature.when.above == null && feature.when.below == null) {
      problem('when', 'when needs above, below or both.');
    }
  });

const intensity = z.number().refine((value) => value >= 0 && value <= maxIntensity, {
  error: (issue) => `intensity must be in [0, ${maxIntensity}], got ${String(issue.input)}.`,
});

export const steering = z
  .looseObject({
    enabled: z.boolean().nullish(),
    intensity: intensity.nullish(),
    sae_id: z.string().nullish(),
    features: z.array(steeringFeature).max(maxFeatures).nullish(),
  })
  .meta({ id: 'Steering', description: 'Features of attached SAEs to steer, for this request only.' });

export type Steering = z.output<typeof steering>;
export type SteeringFeature = z.output<typeof steeringFeature>;
