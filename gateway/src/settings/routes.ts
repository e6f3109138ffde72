import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import type { Config } from '../config.ts';
import { answers, ok } from '../envelope.ts';
import type { SettingsRepository } from './repository.ts';
import { configWire, settingsChange } from './schemas.ts';
import type { deployment } from './schemas.ts';

const tags = ['system'];

export interface SettingsRoutesOptions {
  settings: SettingsRepository;
  config: Config;
  backend: string;
}

export const settingsRoutes: FastifyPluginAsyncZod<SettingsRoutesOptions> = async (
  app,
  { settings, config, backend },
) => {
  const started: z.output<typeof deployment> = {
    host: config.host,
    port: config.port,
    inference_url: config.inferenceUrl,
    hub_endpoint: config.hub.endpoint,
    hub_token_set: config.hub.token !== undefined,
    database: backend,
    redis: config.redisUrl !== undefined,
    keys_required: config.requireKeys,
    api_keys_set: config.apiKeys.length > 0,
    rate_limit_per_minute: config.rateLimitPerMinute,
    cors_origins: config.corsOrigins,
    log_level: config.logLevel,
    log_format: config.logFormat,
    strict: config.strict,
    max_n: config.maxN,
    max_prompts: config.maxPrompts,
    body_limit_bytes: config.bodyLimitBytes,
  };

  app.get(
    '/',
    { schema: { tags, summary: 'Settings, and what the server was started with', response: answers(configWire) } },
    async () => ok({ settings: await settings.get(), deployment: started }),
  );

  app.patch(
    '/',
    { schema: { tags, summary: 'Change settings', body: settingsChange, response: answers(configWire) } },
    async (request) => ok({ settings: await settings.update(request.body), deployment: started }),
  );
};
