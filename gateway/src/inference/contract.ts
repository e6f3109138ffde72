// Runtime validation of what the sidecar sends. A schema that repeats a shape of the contract says `satisfies`,
// so drift fails the type check.
import type { components } from '@millm/proto/inference';
import { z } from 'zod';

export type Schemas = components['schemas'];
export type GenerateRequest = Schemas['GenerateRequest'];
export type Prompt = Schemas['Prompt'];
export type SteeringSpec = Schemas['SteeringSpec'];
export type FeatureSteering = Schemas['FeatureSteering'];
export type RuntimeState = Schemas['RuntimeState'];
export type LoadedModel = Schemas['LoadedModel'];
export type AttachedSae = Schemas['AttachedSae'];

const errorCodes = [
  'MODEL_NOT_FOUND',
  'SAE_NOT_FOUND',
  'PROFILE_NOT_FOUND',
  'MODEL_NOT_LOADED',
  'SAE_NOT_ATTACHED',
  'INVALID_FEATURE_INDEX',
  'VALIDATION_ERROR',
  'CONTEXT_LENGTH_EXCEEDED',
  'INVALID_CHAT_TEMPLATE_INPUT',
  'UNSUPPORTED_VALUE',
  'CONFLICT',
  'MODEL_LOCKED',
  'PROFILE_INCOMPATIBLE',
  'SAE_INCOMPATIBLE',
  'MODEL_INCOMPATIBLE',
  'INSUFFICIENT_MEMORY',
  'DOWNLOAD_FAILED',
  'GATED_REPOSITORY',
  'SIDECAR_UNAVAILABLE',
  'QUEUE_FULL',
  'DEADLINE_EXCEEDED',
  'SHUTTING_DOWN',
  'INTERNAL_ERROR',
] as const satisfies readonly Schemas['ErrorCode'][];

export const errorBody = z.object({
  code: z.enum(errorCodes),
  message: z.string(),
  param: z.string().nullable().default(null),
  details: z.record(z.string(), z.unknown()).default({}),
}) satisfies z.ZodType<Schemas['ErrorBody']>;

const topLogprob = z.object({
  token_id: z.int(),
  token: z.string(),
  bytes: z.array(z.int()),
  logprob: z.number(),
}) satisfies z.ZodType<Schemas['TopLogprob']>;

const tokenLogprob = z.object({
  token_id: z.int(),
  token: z.string(),
  bytes: z.array(z.int()),
  logprob: z.number().nullable().default(null),
  top: z.array(topLogprob).default([]),
  special: z.boolean().default(false),
}) satisfies z.ZodType<Schemas['TokenLogprob']>;

const activationEntry = z.object({
  position: z.int(),
  token_id: z.int(),
  token: z.string(),
  sae_id: z.string(),
  features: z.array(z.object({ index: z.int(), value: z.number() })),
}) satisfies z.ZodType<Schemas['ActivationEntry']>;

const accepted = z.object({
  type: z.literal('accepted'),
  request_id: z.string(),
  prompt_tokens: z.int(),
  max_tokens: z.int(),
  queue_position: z.int(),
  reasoning_open: z.boolean().default(false),
}) satisfies z.ZodType<Schemas['AcceptedEvent']>;

const prompt = z.object({
  type: z.literal('prompt'),
  text: z.string(),
  tokens: z.array(tokenLogprob),
  activations: z.array(activationEntry).default([]),
}) satisfies z.ZodType<Schemas['PromptEvent']>;

const textFields = {
  index: z.int(),
  text: z.string(),
  token_ids: z.array(z.int()).default([]),
  logprobs: z.array(tokenLogprob).default([]),
  activations: z.array(activationEntry).default([]),
};

const delta = z.object({ type: z.literal('delta'), ...textFields }) satisfies z.ZodType<Schemas['DeltaEvent']>;

const finish = z.object({
  type: z.literal('finish'),
  ...textFields,
  finish_reason: z.enum(['stop', 'length']),
  stop_reason: z.union([z.string(), z.int()]).nullable().default(null),
  completion_tokens: z.int(),
}) satisfies z.ZodType<Schemas['FinishEvent']>;

const done = z.object({
  type: z.literal('done'),
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  cached_tokens: z.int(),
  steered_positions: z.int().default(0),
  timings: z.object({ queue_s: z.number(), prefill_s: z.number(), decode_s: z.number() }),
}) satisfies z.ZodType<Schemas['DoneEvent']>;

const error = z.object({ type: z.literal('error'), error: errorBody }) satisfies z.ZodType<Schemas['ErrorEvent']>;

export const generateEvent = z.discriminatedUnion('type', [
  accepted,
  prompt,
  delta,
  finish,
  done,
  error,
]) satisfies z.ZodType<Schemas['GenerateEvent']>;

export type GenerateEvent = z.output<typeof generateEvent>;
export type AcceptedEvent = z.output<typeof accepted>;
export type PromptEvent = z.output<typeof prompt>;
export type DeltaEvent = z.output<typeof delta>;
export type FinishEvent = z.output<typeof finish>;
export type DoneEvent = z.output<typeof done>;
export type TokenLogprob = z.output<typeof tokenLogprob>;
export type ActivationEntry = z.output<typeof activationEntry>;
/** What follows `accepted` in a good stream. */
export type OutputEvent = PromptEvent | DeltaEvent | FinishEvent | DoneEvent;
