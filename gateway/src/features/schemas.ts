import { z } from 'zod';
import type { FeatureRow } from './repository.ts';

/** As the database holds it; no SAE comes near. */
export const largestIndex = 2 ** 31 - 1;

/** In a path. */
export const featureIndex = z.coerce.number().int().min(0).max(largestIndex);

export const featureWire = z
  .object({
    index: z.int(),
    label: z.string().nullable(),
    density: z.number().nullable(),
    max_activation: z.number().nullable(),
    suggested_strength: z.number().nullable().describe("Measured to work, as the SAE's own examples state it."),
  })
  .meta({ id: 'Feature' });

const tokenWeight = z.object({ token_id: z.int().nullable(), token: z.string(), value: z.number().nullable() });

export const featureDetail = z
  .object({
    ...featureWire.shape,
    sae_id: z.string(),
    contexts: z.array(z.unknown()),
    decoder_norm: z.number().nullable(),
    promoted: z.array(tokenWeight),
    suppressed: z.array(tokenWeight),
    nearest: z.array(z.object({ index: z.int(), cosine: z.number(), label: z.string().nullable() })),
    neuronpedia_url: z.string().nullable(),
  })
  .meta({ id: 'FeatureDetail' });

export type FeatureWire = z.output<typeof featureWire>;
export type FeatureDetail = z.output<typeof featureDetail>;

/** The labels file: what each live feature fires on and promotes. */
export const labelsFile = z.object({
  features: z.array(
    z.object({
      index: z.int().min(0).max(largestIndex),
      label: z.string().nullish(),
      density: z.number().nullish(),
      max_activation: z.number().nullish(),
      promoted: z.array(z.unknown()).nullish(),
      contexts: z.array(z.unknown()).nullish(),
    }),
  ),
});

const toStored = ({ index, label, density, maxActivation }: FeatureRow) => ({
  ...{ index, label, density },
  max_activation: maxActivation,
});

export const toFeature = (row: FeatureRow, suggested: ReadonlyMap<number, number>): FeatureWire => ({
  ...toStored(row),
  suggested_strength: suggested.get(row.index) ?? null,
});

/** A line of the labels file: what an import takes back. */
export const exportedFeature = z.object({
  ...featureWire.omit({ suggested_strength: true }).shape,
  promoted: z.array(z.unknown()).optional(),
  contexts: z.array(z.unknown()).optional(),
});

export const toExported = (row: FeatureRow): z.output<typeof exportedFeature> => ({
  ...toStored(row),
  ...(Array.isArray(row.promoted) && { promoted: row.promoted as unknown[] }),
  ...(Array.isArray(row.contexts) && { contexts: row.contexts as unknown[] }),
});
