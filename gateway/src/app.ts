// The table of contents: every part of the gateway, composed here and nowhere else.
import httpProxy from '@fastify/http-proxy';
import Fastify, { LogController } from 'fastify';
import type { FastifyInstance } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import type { Logger as PinoLogger } from 'pino';
import { activationRoutes } from './activations/routes.ts';
import { activationService } from './activations/service.ts';
import { applyManifest } from './bootstrap.ts';
import type { Config } from './config.ts';
import { desiredRepository } from './desired.ts';
import { renderApi, renderOpenAi } from './errors.ts';
import { featureRepository } from './features/repository.ts';
import { inferenceClient } from './inference/client.ts';
import { createRuntime } from './inference/runtime.ts';
import type { Desired } from './inference/runtime.ts';
import { keyRepository } from './keys/repository.ts';
import { keyRoutes } from './keys/routes.ts';
import type { Scope } from './keys/schemas.ts';
import { keyService } from './keys/service.ts';
import { composeLive } from './live.ts';
import { composeManagement } from './management.ts';
import { modelRepository } from './models/repository.ts';
import { monitorRoutes } from './monitoring/routes.ts';
import { composeObservability } from './observability.ts';
import { chatService } from './openai/chat.ts';
import { completionService } from './openai/completions.ts';
import { embeddingService } from './openai/embeddings.ts';
import { generateNoop } from './openai/generate-noop.ts';
import { generationService } from './openai/generation.ts';
import { responseRoutes } from './openai/responses/routes.ts';
import { rootRoutes } from './openai/root-routes.ts';
import { openAiRoutes } from './openai/routes.ts';
import { tokenService } from './openai/tokens.ts';
import { guard } from './plugins/auth.ts';
import { allowBrowsers } from './plugins/cors.ts';
import { addDraining } from './plugins/draining.ts';
import { acceptJsonOnly } from './plugins/json-body.ts';
import { serveMetrics } from './plugins/metrics.ts';
import { describeApi } from './plugins/openapi.ts';
import { refuseForeignPages } from './plugins/origin.ts';
import { limitRate } from './plugins/rate-limit.ts';
import { addRequestContext, requestId } from './plugins/request-context.ts';
import { openScope } from './plugins/scope.ts';
import { addSecurityHeaders } from './plugins/security-headers.ts';
import { serveWeb } from './plugins/web.ts';
import { saeRepository } from './saes/repository.ts';
import { steeringRoutes } from './steering/routes.ts';
import { steeringService } from './steering/service.ts';
import { openCache } from './storage/cache.ts';
import type { Database } from './storage/database.ts';
import { systemRoutes } from './system/routes.ts';

export interface AppParts {
  config: Config;
  database: Database;
  log: PinoLogger;
}

export async function buildApp({ config, database, log }: AppParts): Promise<FastifyInstance> {
  const models = modelRepository(database.client);
  const saes = saeRepository(database.client);
  const features = featureRepository(database.client);
  const desired = desiredRepository(database.client);
  if (config.bootstrapPath !== undefined) {
    await applyManifest(config.bootstrapPath, { models, saes, features, desired, log });
  }

  const client = inferenceClient({ ...config, url: config.inferenceUrl });
  const runtime = createRuntime({
    client,
    log,
    intervalMs: config.reconcileIntervalMs,
    readDesired: async () => toContract(await desired.read(), await models.list(), await saes.list()),
  });
  const observability = await composeObservability({ config, models, state: runtime.state, log });
  const catalogue = { models, saes, features, desired };
  const management = composeManagement({ ...catalogue, ...observability, config, database, client, runtime, log });
  const { models: modelsOf, features: featuresOf } = management;
  const steering = steeringService({
    desired,
    findProfile: management.profiles.forRequest,
    attached: () => runtime.state()?.saes ?? [],
    label: featuresOf.label,
  });
  const activations = activationService({ client, runtime, features: featuresOf });
  const generation = generationService({
    client: { generate: management.generate },
    runtime,
    models: modelsOf,
    steering,
    features: featuresOf,
  });
  const chat = chatService({ generation, limits: config, allowChatTemplate: config.allowChatTemplate });
  const cache = await openCache(config, log);
  const keys = keyService({
    keys: keyRepository(database.client),
    configured: config.apiKeys,
    isRequired: config.requireKeys,
    cache,
    log,
  });
  await keys.start();
  const live = composeLive({ config, keys, cache, client, runtime, desired, steering, labels: features.labels, log });
  const completions = completionService({ generation, limits: config });
  const embeddings = embeddingService({ client, models: modelsOf });
  const tokens = tokenService({ client, models: modelsOf, runtime });

  const app = Fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: requestId,
    bodyLimit: config.bodyLimitBytes,
    requestTimeout: config.requestTimeoutMs,
    // Who sends slowly, or nothing at all, is noticed soon after.
    http: {
      headersTimeout: Math.min(60_000, config.requestTimeoutMs),
      connectionsCheckingInterval: Math.min(10_000, config.requestTimeoutMs / 2),
    },
    ...(config.trustProxy.length > 0 && { trustProxy: config.trustProxy }),
    forceCloseConnections: 'idle',
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 2_000 },
  }) as unknown as FastifyInstance;
  app.addHook('onClose', async () => {
    runtime.close();
    await management.close();
    await keys.close();
    await client.close();
  });

  addRequestContext(app);
  const { isDraining } = addDraining(app);
  app.decorateRequest('keyId', null);
  await addSecurityHeaders(app, config);
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  await describeApi(app);
  await observability.install(app, keys);

  /** What every route for OpenAI clients has in common. */
  async function openOpenAiScope(scope: FastifyInstance): Promise<{ seal: () => void }> {
    const opened = openScope(scope, renderOpenAi);
    // Bodies are checked by the handlers, which name fields the way clients of this surface expect.
    scope.setValidatorCompiler(() => (value) => ({ value }));
    scope.setSerializerCompiler(() => (value) => JSON.stringify(value));
    acceptJsonOnly(scope);
    guard(scope, {
      keys,
      scopes: () => ['inference'],
      isOpen: ({ url }) => isOpen(url, config.guardModels),
    });
    return opened;
  }

  await app.register(async (root) => {
    await openOpenAiScope(root);
    await root.register(rootRoutes, { runtime, tokens, isDraining });
  });

  await app.register(
    async (v1) => {
      // First, so that a refusal for want of a key can be read by a browser too.
      await allowBrowsers(v1, config.corsOrigins);
      const scope = await openOpenAiScope(v1);
      limitRate(v1, { cache, perMinute: config.rateLimitPerMinute });
      management.logRequests(v1);
      await v1.register(openAiRoutes, {
        models: modelsOf,
        chat,
        completions,
        embeddings,
        keepaliveMs: config.keepaliveMs,
        isStrict: config.strict,
      });
      await v1.register(responseRoutes, { chat, keepaliveMs: config.keepaliveMs, isStrict: config.strict });
      scope.seal();
    },
    { prefix: '/v1' },
  );

  await app.register(
    async (api) => {
      const scope = openScope(api, renderApi);
      refuseForeignPages(api, config.corsOrigins);
      guard(api, {
        keys,
        scopes: ({ url }) => scopesOf(url),
        isOpen: ({ url }) => /^\/api\/(?:health|docs|openapi\.json)(?:[/?]|$)/.test(url),
      });
      limitRate(api, {
        cache,
        perMinute: config.rateLimitPerMinute,
        isFree: ({ url }) => url.startsWith('/api/health'),
      });
      api.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
      serveMetrics(api, observability.metrics);
      await api.register(systemRoutes, {
        runtime,
        backend: database.backend,
        isDraining,
        keysRequired: keys.isRequired,
      });
      await api.register(generateNoop);
      await api.register(keyRoutes, { prefix: '/keys', keys });
      await management.register(api);
      // The sidecar's own metrics and description, for whoever manages; untouched.
      await api.register(async (sidecar) => {
        sidecar.addHook('onRoute', (route) => void (route.schema = { ...route.schema, hide: true }));
        await sidecar.register(httpProxy, { prefix: '/sidecar', upstream: config.inferenceUrl });
      });
      await api.register(steeringRoutes, { prefix: '/steering', steering });
      await api.register(activationRoutes, { prefix: '/activations', activations });
      await api.register(monitorRoutes, { prefix: '/monitor', monitoring: live.monitoring });
      scope.seal();
    },
    { prefix: '/api' },
  );

  management.follow(live.feed);
  live.install(app);
  await serveWeb(app, config);
  app.addHook('onListen', async () => {
    void runtime.start().then(management.start);
  });
  return app;
}

/** Managing is one thing; reading what fires on a text, and a labeler's wish to free a model, go with generating. */
const scopesOf = (url: string): Scope[] =>
  /^\/api\/(?:activations|generate)(?:[/?]|$)/.test(url) ? ['inference', 'manage'] : ['manage'];

/** Browsers read the list of models without a key, and probes know none. */
function isOpen(url: string, guardModels: boolean): boolean {
  return /^\/(?:health|version)(?:\?|$)/.test(url) || (!guardModels && /^\/v1\/models(?:[/?]|$)/.test(url));
}

/** The desired state in the sidecar's words; what is no longer in the catalogue is not asked for. */
function toContract(
  wanted: Awaited<ReturnType<ReturnType<typeof desiredRepository>['read']>>,
  models: Awaited<ReturnType<ReturnType<typeof modelRepository>['list']>>,
  saes: Awaited<ReturnType<ReturnType<typeof saeRepository>['list']>>,
): Desired | null {
  if (wanted === null) return null;
  const model = models.find(({ id }) => id === wanted.modelId);
  const attachments = wanted.saeIds.flatMap((id) => {
    const sae = saes.find((known) => known.id === id);
    // An SAE belongs to a model: another model's are left out until theirs is loaded again.
    if (!sae || sae.path === null || (sae.modelId !== null && sae.modelId !== wanted.modelId)) return [];
    return [{ sae_id: sae.id, path: sae.path, ...(sae.overrides !== null && { overrides: sae.overrides as object }) }];
  });
  if (!model || model.path === null) return { model: null, saes: [] };
  return {
    model: {
      model_id: model.id,
      path: model.path,
      quantization: model.quantization as NonNullable<Desired['model']>['quantization'] & (string | null),
      trust_remote_code: model.trustRemoteCode,
    },
    saes: attachments,
  };
}
