// What is told about requests while they pass: metrics always, traces where somebody collects them. `app.ts` has the rest.
import type { FastifyInstance } from 'fastify';
import type { Config } from './config.ts';
import { renderOpenAi } from './errors.ts';
import type { RuntimeState } from './inference/contract.ts';
import type { GenerationObserver } from './inference/observed.ts';
import type { KeyService } from './keys/service.ts';
import type { Logger } from './log.ts';
import { createMetrics } from './metrics/metrics.ts';
import type { ModelRepository } from './models/repository.ts';
import { guard } from './plugins/auth.ts';
import { countRequests, serveMetrics } from './plugins/metrics.ts';
import { onAnswered } from './plugins/request-context.ts';
import { openScope } from './plugins/scope.ts';

export interface ObservabilityParts {
  config: Pick<Config, 'otlpEndpoint' | 'guardMetrics' | 'logPrompts'>;
  models: Pick<ModelRepository, 'find'>;
  state: () => RuntimeState | null;
  log: Logger;
}

export async function composeObservability({ config, models, state, log }: ObservabilityParts) {
  const names = new Map<string, string>();

  /** What clients call a model; the last known answer while the database is away. */
  async function nameOf(modelId: string): Promise<string> {
    const row = await models.find(modelId).catch(() => null);
    if (row) names.set(modelId, row.name);
    return names.get(modelId) ?? modelId;
  }

  const metrics = createMetrics({ state, nameOf });
  // Imported where it is used: it is large, and few deployments collect traces.
  const tracing =
    config.otlpEndpoint === undefined
      ? null
      : (await import('./tracing/tracing.ts')).createTracing(config.otlpEndpoint, log);
  const observers: GenerationObserver[] = tracing === null ? [] : [tracing.observe];

  return {
    metrics,
    nameOf,
    observers,

    /** Before any route. */
    async install(app: FastifyInstance, keys: KeyService): Promise<void> {
      countRequests(app, metrics);
      if (config.logPrompts) logBodies(app);
      if (tracing !== null) {
        app.addHook('onRequest', async ({ id, method, headers }) => tracing.begin(id, method, headers));
        onAnswered(app, ({ id, method, routeOptions }, _reply, status) =>
          tracing.end(id, method, routeOptions.url ?? 'none', status),
        );
        app.addHook('onClose', () => tracing.close());
      }
      await app.register(async (scope) => {
        openScope(scope, renderOpenAi);
        guard(scope, { keys, scopes: () => ['manage'], isOpen: () => !config.guardMetrics });
        serveMetrics(scope, metrics);
      });
    },
  };
}

/** Only where an operator asked for it. */
function logBodies(app: FastifyInstance): void {
  app.addHook('preHandler', async (request) => {
    if (!request.url.startsWith('/v1') || request.body == null) return;
    request.log.info({ event: 'request:body', body: request.body }, 'request body');
  });
}
