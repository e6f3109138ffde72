import { z } from 'zod';

export const settings = z.object({
  request_log_enabled: z.boolean().describe('Keep one line per request on /v1: model, tokens, times; never its text.'),
  request_log_max_rows: z.int().min(100).max(1_000_000),
  request_log_retention_days: z.number().min(0.01).max(3650),
});

export type Settings = z.output<typeof settings>;

export const defaults: Settings = {
  request_log_enabled: false,
  request_log_max_rows: 10_000,
  request_log_retention_days: 7,
};

export const settingsChange = settings.partial().strict();
export type SettingsChange = z.output<typeof settingsChange>;

/** What a deployment was started with, as far as everybody may know it. */
export const deployment = z.object({
  host: z.string(),
  port: z.number(),
  inference_url: z.string(),
  hub_endpoint: z.string(),
  hub_token_set: z.boolean(),
  database: z.string(),
  redis: z.boolean(),
  keys_required: z.boolean(),
  api_keys_set: z.boolean().describe('Keys are named in the environment.'),
  rate_limit_per_minute: z.number(),
  cors_origins: z.array(z.string()),
  log_level: z.string(),
  log_format: z.string(),
  strict: z.boolean(),
  max_n: z.number(),
  max_prompts: z.number(),
  body_limit_bytes: z.number(),
});

export const configWire = z.object({ settings, deployment }).meta({ id: 'Config' });
