import { z } from 'zod';

const saeId = z.string().min(1).max(255);
const indices = z.array(z.int().min(0)).max(1_024);

export const monitorAsk = z.object({
  sae_id: saeId.nullish(),
  top_k: z.int().min(0).max(64).nullish(),
  features: indices.nullish(),
  request_id: z.string().min(1).max(128).nullish(),
});

export const target = z.object({ subscription_id: z.string().optional() }).default({});

const watch = z.object({ sae_id: saeId, top_k: z.int().min(0).max(64).default(0), features: indices.default([]) });

export const monitorChange = z
  .object({
    paused: z.boolean().optional(),
    /** What is watched whoever looks, so that history and statistics grow without anybody connected. */
    watches: z.array(watch).max(16).optional(),
    history_size: z.int().min(1).max(100_000).optional(),
  })
  .meta({ id: 'MonitorChange' });

const requestSummary = z.object({
  request_id: z.string(),
  sae_ids: z.array(z.string()),
  frames: z.int(),
  started_at: z.string(),
  last_at: z.string(),
});

export const monitorState = z
  .object({
    enabled: z.boolean(),
    paused: z.boolean(),
    standing: z.array(watch),
    watching: z.array(watch),
    subscribers: z.int(),
    history_size: z.int(),
    frames: z.int(),
    dropped_upstream: z.int(),
    since: z.string(),
    requests: z.array(requestSummary),
  })
  .meta({ id: 'Monitor' });

export const monitorRecord = z
  .object({
    timestamp: z.string(),
    request_id: z.string(),
    choice: z.int(),
    token_position: z.int(),
    token_id: z.int(),
    token: z.string(),
    prompt: z.boolean(),
    sae_id: z.string(),
    activations: z.record(z.string(), z.number()),
    top_k: z.array(z.tuple([z.int(), z.number()])),
    features: z.array(z.object({ index: z.int(), value: z.number(), label: z.string().nullable() })),
  })
  .meta({ id: 'MonitorRecord' });

export const featureStatistics = z
  .object({
    feature_idx: z.int(),
    label: z.string().nullable(),
    count: z.int(),
    mean: z.number(),
    std: z.number(),
    min: z.number(),
    max: z.number(),
    active_ratio: z.number(),
  })
  .meta({ id: 'FeatureStatistics' });

export const historyQuery = z.object({
  request_id: z.string().optional(),
  sae_id: z.string().optional(),
  skip: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(1_000).default(50),
});

export const statisticsQuery = z.object({
  sae_id: z.string().optional(),
  features: z
    .string()
    .regex(/^\d+(,\d+)*$/, 'expected indices separated by commas')
    .transform((text) => text.split(',').map(Number))
    .optional(),
  sort: z.enum(['mean', 'max', 'active_ratio', 'count']).default('mean'),
  limit: z.coerce.number().int().min(1).max(10_000).default(100),
});
