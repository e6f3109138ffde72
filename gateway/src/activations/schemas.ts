import { z } from 'zod';
import { message } from '../openai/schemas.ts';

const prompt = {
  text: z.string().min(1).optional(),
  messages: z.array(message).min(1).optional(),
};
const oneOfBoth = (value: { text?: unknown; messages?: unknown }) =>
  (value.text === undefined) !== (value.messages === undefined);

export const readBody = z
  .object({
    ...prompt,
    sae_id: z.string().nullish(),
    top_k: z.int().min(0).max(256).nullish(),
    features: z.array(z.int().min(0)).max(1024).nullish(),
    stage: z.enum(['before', 'after']).nullish(),
  })
  .refine(oneOfBoth, { error: 'Give either text or messages.' })
  .meta({ id: 'ReadActivations' });

export const sample = z.union([z.string().min(1), z.array(message).min(1)]);
export const contrastBody = z
  .object({
    a: z.array(sample).min(1).max(1000),
    b: z.array(sample).min(1).max(1000),
    sae_id: z.string().nullish(),
    limit: z.int().min(1).max(1000).default(20),
  })
  .meta({ id: 'ContrastActivations' });

export const entry = z
  .object({
    position: z.int(),
    token_id: z.int(),
    token: z.string(),
    sae_id: z.string(),
    features: z.array(z.object({ index: z.int(), value: z.number(), label: z.string().nullable() })),
  })
  .meta({ id: 'ActivationEntry' });

export const contrast = z
  .object({
    sae_id: z.string(),
    texts_a: z.int(),
    texts_b: z.int(),
    features: z.array(
      z.object({
        index: z.int(),
        label: z.string().nullable(),
        mean_a: z.number(),
        mean_b: z.number(),
        effect_size: z.number(),
        auroc: z.number(),
      }),
    ),
  })
  .meta({ id: 'Contrast' });

export type ReadBody = z.output<typeof readBody>;
export type ContrastBody = z.output<typeof contrastBody>;
export type Sample = z.output<typeof sample>;
