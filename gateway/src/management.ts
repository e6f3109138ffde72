// Composes the catalogue: models, SAEs, labels, profiles, downloads, settings and the request log.
import type { FastifyInstance } from 'fastify';
import type { Config } from './config.ts';
import type { DesiredRepository } from './desired.ts';
import { downloadRepository } from './downloads/repository.ts';
import { downloadRoutes } from './downloads/routes.ts';
import { downloadService } from './downloads/service.ts';
import { labelRoutes } from './features/label-routes.ts';
import { labelService } from './features/label-service.ts';
import type { FeatureRepository } from './features/repository.ts';
import { featureRoutes } from './features/routes.ts';
import { featureService } from './features/service.ts';
import type { InferenceClient } from './inference/client.ts';
import type { Feed } from './inference/feed.ts';
import { observed } from './inference/observed.ts';
import type { GenerationObserver } from './inference/observed.ts';
import type { Runtime } from './inference/runtime.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics/metrics.ts';
import { modelAcquisition } from './models/acquire.ts';
import { modelRemoval } from './models/remove.ts';
import type { ModelRepository } from './models/repository.ts';
import { modelRoutes } from './models/routes.ts';
import { modelService } from './models/service.ts';
import { compatRoutes } from './profiles/compat-routes.ts';
import { profileRepository } from './profiles/repository.ts';
import { profileRoutes } from './profiles/routes.ts';
import { profileService } from './profiles/service.ts';
import { logRequests } from './requests/hook.ts';
import { requestMeter } from './requests/meter.ts';
import { requestRecorder } from './requests/recorder.ts';
import { requestRepository } from './requests/repository.ts';
import { requestRoutes } from './requests/routes.ts';
import { saeAcquisition } from './saes/acquire.ts';
import type { SaeRepository } from './saes/repository.ts';
import { saeRoutes } from './saes/routes.ts';
import { saeService } from './saes/service.ts';
import { settingsRepository } from './settings/repository.ts';
import { settingsRoutes } from './settings/routes.ts';
import type { Database } from './storage/database.ts';

export interface ManagementParts {
  config: Config;
  database: Database;
  client: InferenceClient;
  runtime: Runtime;
  models: ModelRepository;
  saes: SaeRepository;
  features: FeatureRepository;
  desired: DesiredRepository;
  metrics: Metrics;
  nameOf: (modelId: string) => Promise<string>;
  /** Watch every generation, beside the request log and the metrics. */
  observers: readonly GenerationObserver[];
  log: Logger;
}

export type Management = ReturnType<typeof composeManagement>;

export function composeManagement(parts: ManagementParts) {
  const { config, database, client, runtime, models, saes, features, desired, metrics, log } = parts;
  const db = database.client;
  const instanceId = () => runtime.state()?.instance_id ?? null;
  const downloads = downloadService({ downloads: downloadRepository(db), client, log, instanceId });
  const download = downloads.peek;
  const modelsOf = modelService({ models, desired, runtime, waitMs: config.modelWaitMs, download });
  const saesOf = saeService({ saes, models, desired, runtime, download });
  const featuresOf = featureService({ features, saes: saesOf, client });
  const hub = { downloads, client, hubToken: config.hub.token, log };
  const modelAcquisitionOf = modelAcquisition({ models, ...hub });
  const saeAcquisitionOf = saeAcquisition({ saes, models, ...hub });
  const removal = modelRemoval({ models, service: modelsOf, downloads, client });

  const profiles = profileService({
    profiles: profileRepository(db),
    desired,
    knownSaes: saesOf.known,
    modelName: async (name) => (await models.findByName(name))?.name ?? null,
    async loadedModel() {
      const loaded = runtime.state()?.model;
      if (!loaded) return null;
      const name = (await models.find(loaded.model_id))?.name ?? loaded.model_id;
      return { name, quantization: loaded.quantization ?? null };
    },
  });
  const labels = labelService({ features, saes: saesOf, profileLabels: profiles.labels });
  const settings = settingsRepository(db);
  const requests = requestRepository(db);
  const meter = requestMeter();
  const recorder = requestRecorder({ requests, settings: settings.get, log });

  return {
    models: modelsOf,
    saes: saesOf,
    features: featuresOf,
    profiles,
    downloads,
    settings,
    recorder,

    async register(api: FastifyInstance): Promise<void> {
      await api.register(modelRoutes, {
        prefix: '/models',
        models: modelsOf,
        acquisition: modelAcquisitionOf,
        removal,
      });
      await api.register(saeRoutes, {
        prefix: '/saes',
        saes: saesOf,
        acquisition: saeAcquisitionOf,
        downloads,
        client,
      });
      await api.register(featureRoutes, { prefix: '/saes', features: featuresOf });
      await api.register(labelRoutes, { prefix: '/saes', labels });
      await api.register(profileRoutes, { prefix: '/profiles', profiles });
      await api.register(compatRoutes, { prefix: '/clusters', profiles, kind: 'cluster' });
      await api.register(compatRoutes, { prefix: '/circuits', profiles, kind: 'circuit' });
      await api.register(downloadRoutes, { prefix: '/downloads', downloads, hubToken: config.hub.token });
      await api.register(requestRoutes, { prefix: '/requests', requests, recorder });
      await api.register(settingsRoutes, { prefix: '/config', settings, config, backend: database.backend });
    },

    logRequests: (v1: FastifyInstance) =>
      logRequests(v1, {
        isEnabled: async () => (await settings.get()).request_log_enabled,
        recorder,
        take: meter.take,
        onAccount: metrics.request,
      }),

    /** Generates, and counts what it costs. */
    generate: observed(client.generate, [meter.observe, metrics.observe, ...parts.observers], parts.nameOf),

    /** Downloads are followed as they happen; without a feed they are asked for every second. */
    follow(feed: Pick<Feed, 'on'>): void {
      feed.on((news) => {
        if (news.type === 'download') void downloads.apply(news.download);
        if (news.type !== 'snapshot') return;
        // A download that was started a moment ago may be missing in a snapshot that was taken before.
        void downloads.reconcile(news.downloads, news.state.instance_id, performance.now() - 1_000);
      });
    },

    start: () => downloads.resume(),
    async close(): Promise<void> {
      downloads.close();
      await recorder.close();
    },
  };
}
