// The only reader of process.env: parse once, freeze, pass down.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const number = (fallback: number, min = 0) =>
  z
    .string()
    .regex(/^\d+(\.\d+)?$/, 'expected a number')
    .transform(Number)
    .pipe(z.number().min(min))
    .default(fallback);
const list = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text) => text.split(/[\s,]+/).filter((item) => item !== ''));
const flag = z
  .enum(['0', '1', 'true', 'false'])
  .default('false')
  .transform((value) => value === '1' || value === 'true');
const url = z.url().transform((value) => value.replace(/\/+$/, ''));

/** Every variable the gateway reads; `.env.example` documents exactly these (a test compares). */
const environment = z.object({
  DATABASE_URL: z.string().optional(),
  REDIS_URL: z.string().optional(),
  HF_TOKEN: z.string().optional(),
  HF_ENDPOINT: z.string().default('https://huggingface.co'),
  MODEL_CACHE_DIR: z.string().optional(),
  SAE_CACHE_DIR: z.string().optional(),
  HOST: z.string().default('127.0.0.1'),
  PORT: number(8000),
  INFERENCE_URL: url.default('http://127.0.0.1:8100'),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  LOG_FORMAT: z.enum(['json', 'console']).default('json'),
  OTEL_EXPORTER_OTLP_ENDPOINT: url.optional(),
  MILLM_LOG_PROMPTS: flag,
  MILLM_DATA_DIR: z.string().default('./data'),
  MILLM_BOOTSTRAP: z.string().optional(),
  MILLM_WEB_DIR: z.string().optional(),
  MILLM_WEB_DEV_URL: url.optional(),
  MILLM_REQUIRE_KEYS: flag,
  MILLM_API_KEYS: list(''),
  MILLM_GUARD_MODELS: flag,
  MILLM_GUARD_METRICS: flag,
  MILLM_TRUST_PROXY: list(''),
  MILLM_RATE_LIMIT_PER_MINUTE: number(0),
  MILLM_CORS_ORIGINS: list('*'),
  MILLM_STRICT: flag,
  MILLM_ALLOW_CHAT_TEMPLATE: flag,
  MILLM_BODY_LIMIT_BYTES: number(32 * 1024 * 1024, 1),
  MILLM_REQUEST_TIMEOUT_S: number(120, 1),
  MILLM_KEEPALIVE_S: number(15, 0.01),
  MILLM_MODEL_WAIT_S: number(30),
  MILLM_LOAD_TIMEOUT_S: number(1800, 1),
  MILLM_RECONCILE_INTERVAL_S: number(2, 0.05),
  MILLM_SHUTDOWN_GRACE_S: number(30),
  MILLM_STREAM_IDLE_TIMEOUT_S: number(300, 1),
  MILLM_MAX_N: number(128, 1),
  MILLM_MAX_PROMPTS: number(256, 1),
});

export const environmentVariables: readonly string[] = Object.keys(environment.shape);

/** Variables with our prefix that belong to the sidecar or to the tests. */
const foreign = /^MILLM_(INFERENCE|TEST|LIVE)_/;
const packageRoot = fileURLToPath(new URL('..', import.meta.url));

export class ConfigError extends Error {}

export function parseConfig(env: Record<string, string | undefined>) {
  const unknown = Object.keys(env).filter(
    (name) => name.startsWith('MILLM_') && !foreign.test(name) && !environmentVariables.includes(name),
  );
  if (unknown.length > 0) throw new ConfigError(`Unknown setting: ${unknown.join(', ')}. See .env.example.`);

  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = environment.safeParse(given);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new ConfigError(`Bad settings. ${problems.join('; ')}`);
  }
  const e = parsed.data;
  return Object.freeze({
    databaseUrl: e.DATABASE_URL,
    redisUrl: e.REDIS_URL,
    hub: { token: e.HF_TOKEN, endpoint: e.HF_ENDPOINT, modelCacheDir: e.MODEL_CACHE_DIR, saeCacheDir: e.SAE_CACHE_DIR },
    host: e.HOST,
    port: e.PORT,
    inferenceUrl: e.INFERENCE_URL,
    logLevel: e.LOG_LEVEL,
    logFormat: e.LOG_FORMAT,
    otlpEndpoint: e.OTEL_EXPORTER_OTLP_ENDPOINT,
    logPrompts: e.MILLM_LOG_PROMPTS,
    dataDir: resolve(e.MILLM_DATA_DIR),
    bootstrapPath: e.MILLM_BOOTSTRAP === undefined ? undefined : resolve(e.MILLM_BOOTSTRAP),
    webDir: resolve(e.MILLM_WEB_DIR ?? `${packageRoot}/../web/build`),
    webDevUrl: e.MILLM_WEB_DEV_URL,
    apiKeys: e.MILLM_API_KEYS,
    // A key that somebody named is meant to be asked for.
    requireKeys: e.MILLM_REQUIRE_KEYS || e.MILLM_API_KEYS.length > 0,
    guardModels: e.MILLM_GUARD_MODELS,
    guardMetrics: e.MILLM_GUARD_METRICS,
    trustProxy: e.MILLM_TRUST_PROXY,
    rateLimitPerMinute: e.MILLM_RATE_LIMIT_PER_MINUTE,
    corsOrigins: e.MILLM_CORS_ORIGINS,
    strict: e.MILLM_STRICT,
    allowChatTemplate: e.MILLM_ALLOW_CHAT_TEMPLATE,
    bodyLimitBytes: e.MILLM_BODY_LIMIT_BYTES,
    requestTimeoutMs: e.MILLM_REQUEST_TIMEOUT_S * 1000,
    keepaliveMs: e.MILLM_KEEPALIVE_S * 1000,
    modelWaitMs: e.MILLM_MODEL_WAIT_S * 1000,
    loadTimeoutMs: e.MILLM_LOAD_TIMEOUT_S * 1000,
    reconcileIntervalMs: e.MILLM_RECONCILE_INTERVAL_S * 1000,
    shutdownGraceMs: e.MILLM_SHUTDOWN_GRACE_S * 1000,
    streamIdleTimeoutMs: e.MILLM_STREAM_IDLE_TIMEOUT_S * 1000,
    maxN: e.MILLM_MAX_N,
    maxPrompts: e.MILLM_MAX_PROMPTS,
  });
}

export type Config = ReturnType<typeof parseConfig>;
