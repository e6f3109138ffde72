// Runtime validation of the sidecar's feed; drift from the contract fails the type check.
import { z } from 'zod';
import { errorBody } from './contract.ts';
import type { Schemas } from './contract.ts';

const queue = z.object({
  running: z.int(),
  waiting: z.int(),
  slots_total: z.int(),
  slots_free: z.int(),
  max_waiting: z.int(),
  tokens_per_second: z.number().default(0),
  kv_usage: z.number().default(0),
}) satisfies z.ZodType<Schemas['QueueState']>;

const memory = z.object({
  device: z.string(),
  used_bytes: z.number(),
  total_bytes: z.number(),
  model_bytes: z.number(),
  sae_bytes: z.number(),
  kv_bytes: z.number(),
}) satisfies z.ZodType<Schemas['MemoryState']>;

const counters = z.object({
  prompt_tokens: z.int(),
  generated_tokens: z.int(),
  requests: z.int(),
  aborted: z.int(),
  cached_prompt_tokens: z.int(),
}) satisfies z.ZodType<Schemas['Counters']>;

/** A whole state, as GET /state answers it, which is trusted just as much. */
const state = z.custom<Schemas['RuntimeState']>(
  (value) => z.looseObject({ instance_id: z.string(), saes: z.array(z.unknown()) }).safeParse(value).success,
);

const download = z.object({
  download_id: z.string(),
  kind: z.enum(['model', 'sae']),
  repo_id: z.string(),
  revision: z.string().nullable().default(null),
  path: z.string().nullable().default(null),
  state: z.enum(['queued', 'running', 'done', 'failed', 'cancelled']),
  bytes_done: z.number(),
  bytes_total: z.number(),
  bytes_per_second: z.number().default(0),
  local_path: z.string().nullable().default(null),
  error: errorBody.nullable().default(null),
  seq: z.int(),
}) satisfies z.ZodType<Schemas['DownloadState']>;

const watch = z.object({
  sae_id: z.string(),
  top_k: z.int().default(0),
  features: z.array(z.int()).default([]),
}) satisfies z.ZodType<Schemas['MonitorWatch']>;

const frame = z.object({
  request_id: z.string(),
  choice: z.int(),
  position: z.int(),
  token_id: z.int(),
  token: z.string(),
  prompt: z.boolean(),
  sae_id: z.string(),
  features: z.array(z.object({ index: z.int(), value: z.number() })),
}) satisfies z.ZodType<Schemas['MonitorFrame']>;

const seq = z.int();

export const feedEvent = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('snapshot'),
    seq,
    state,
    downloads: z.array(download),
    monitor: z.object({ watches: z.array(watch) }),
  }) satisfies z.ZodType<Schemas['SnapshotEvent']>,
  z.object({ type: z.literal('state'), seq, state }) satisfies z.ZodType<Schemas['StateEvent']>,
  z.object({ type: z.literal('download'), seq, download }) satisfies z.ZodType<Schemas['DownloadEvent']>,
  z.object({
    type: z.literal('load'),
    seq,
    model_id: z.string(),
    stage: z.enum(['unloading', 'reading', 'verifying', 'ready', 'failed']),
    message: z.string().nullable().default(null),
  }) satisfies z.ZodType<Schemas['LoadEvent']>,
  z.object({
    type: z.literal('metrics'),
    seq,
    queue,
    memory,
    counters,
    cpu_percent: z.number(),
    gpu_percent: z.number().nullable().default(null),
    gpu_temperature_c: z.number().nullable().default(null),
  }) satisfies z.ZodType<Schemas['MetricsEvent']>,
  z.object({
    type: z.literal('activations'),
    seq,
    frames: z.array(frame),
    dropped: z.int(),
  }) satisfies z.ZodType<Schemas['ActivationsEvent']>,
]) satisfies z.ZodType<Schemas['FeedEvent']>;

export type FeedEvent = z.output<typeof feedEvent>;
export type FeedEventOf<T extends FeedEvent['type']> = Extract<FeedEvent, { type: T }>;
export type Download = z.output<typeof download>;
export type Frame = z.output<typeof frame>;
export type Watch = z.output<typeof watch>;
