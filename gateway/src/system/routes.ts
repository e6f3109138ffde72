import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { answers, ok } from '../envelope.ts';
import type { Runtime } from '../inference/runtime.ts';
import { version } from '../version.ts';

export interface SystemOptions {
  runtime: Runtime;
  backend: string;
  isDraining: () => boolean;
  keysRequired: boolean;
}

const health = z
  .object({
    status: z.enum(['healthy', 'degraded']),
    version: z.string(),
    timestamp: z.string(),
    uptime_seconds: z.number(),
    database: z.string(),
    keys_required: z.boolean(),
    inference: z.object({
      reachable: z.boolean(),
      instance_id: z.string().nullable(),
      device: z.string().nullable(),
      running: z.int(),
      waiting: z.int(),
    }),
    model_loaded: z.boolean(),
    model_id: z.string().nullable(),
    loading_model_id: z.string().nullable(),
    sae_ids: z.array(z.string()),
  })
  .meta({ id: 'Health' });

const readiness = z.object({ status: z.enum(['ready', 'not_ready']), reason: z.string().nullable() });

const system = z
  .object({
    version: z.string(),
    node: z.string(),
    database: z.string(),
    uptime_seconds: z.number(),
    device: z.string().nullable(),
    memory: z.record(z.string(), z.unknown()).nullable(),
    queue: z.record(z.string(), z.unknown()).nullable(),
    counters: z.record(z.string(), z.unknown()).nullable(),
    gateway_memory_bytes: z.int(),
  })
  .meta({ id: 'System' });

/** /api/health is not enveloped, and reads nothing but memory: it answers whatever the database or the sidecar do. */
export const systemRoutes: FastifyPluginAsyncZod<SystemOptions> = async (app, options) => {
  const { runtime, backend, isDraining, keysRequired } = options;
  const uptime = () => Math.round(process.uptime() * 10) / 10;

  function whyNotReady(): string | null {
    if (isDraining()) return 'shutting down';
    if (!runtime.isReachable()) return 'the inference service is not reachable';
    if (runtime.loadingModelId() !== null) return 'a model is loading';
    if (!runtime.state()?.model) return 'no model is loaded';
    return runtime.isSettled() ? null : 'SAEs are being attached';
  }

  app.get(
    '/health',
    { schema: { tags: ['system'], summary: 'State of the parts', response: { 200: health } } },
    async () => {
      const state = runtime.state();
      return {
        status: state !== null && !isDraining() ? ('healthy' as const) : ('degraded' as const),
        version,
        timestamp: new Date().toISOString(),
        uptime_seconds: uptime(),
        database: backend,
        keys_required: keysRequired,
        inference: {
          reachable: state !== null,
          instance_id: state?.instance_id ?? null,
          device: state?.memory.device ?? null,
          running: state?.queue.running ?? 0,
          waiting: state?.queue.waiting ?? 0,
        },
        model_loaded: state?.model != null,
        model_id: state?.model?.model_id ?? null,
        loading_model_id: runtime.loadingModelId(),
        sae_ids: state?.saes.map((sae) => sae.sae_id) ?? [],
      };
    },
  );

  app.get(
    '/health/live',
    {
      schema: {
        tags: ['system'],
        summary: 'The process answers',
        response: { 200: z.object({ status: z.literal('alive') }) },
      },
    },
    async () => ({ status: 'alive' as const }),
  );

  app.get(
    '/health/ready',
    {
      schema: {
        tags: ['system'],
        summary: 'A request for the loaded model would be answered',
        response: { 200: readiness, 503: readiness },
      },
    },
    async (_request, reply) => {
      const reason = whyNotReady();
      if (reason === null) return { status: 'ready' as const, reason };
      return reply
        .status(503)
        .header('retry-after', '5')
        .send({ status: 'not_ready' as const, reason });
    },
  );

  app.get(
    '/system',
    { schema: { tags: ['system'], summary: 'Memory, queue and counters', response: answers(system) } },
    async () => {
      const state = runtime.state();
      return ok({
        version,
        node: process.version,
        database: backend,
        uptime_seconds: uptime(),
        device: state?.memory.device ?? null,
        memory: state ? { ...state.memory } : null,
        queue: state ? { ...state.queue } : null,
        counters: state ? { ...state.counters } : null,
        gateway_memory_bytes: process.memoryUsage.rss(),
      });
    },
  );
};
