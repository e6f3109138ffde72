// Counts every answered request by its route, and shows the counts at /metrics and /api/metrics.
import type { FastifyInstance } from 'fastify';
import type { Metrics } from '../metrics/metrics.ts';
import { onAnswered } from './request-context.ts';

export function countRequests(app: FastifyInstance, metrics: Metrics): void {
  onAnswered(app, (request, reply, status) => {
    // The route, not the address: there must be few of them, and no ids in them.
    const route = request.routeOptions.url ?? 'none';
    metrics.answered(route, request.method, status, reply.elapsedTime / 1000);
  });
}

export function serveMetrics(app: FastifyInstance, metrics: Metrics): void {
  app.get(
    '/metrics',
    { schema: { tags: ['system'], summary: 'Metrics in the text format of Prometheus' } },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  );
}
