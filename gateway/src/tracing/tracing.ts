// OpenTelemetry: one span per request, one below it per generation with what the sidecar says it took. No text, no keys.
import { SpanKind, SpanStatusCode, TraceFlags, trace, ROOT_CONTEXT } from '@opentelemetry/api';
import type { Context, Span, TextMapGetter } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, ParentBasedSampler, AlwaysOnSampler, TracerProvider } from '@opentelemetry/sdk-trace';
import type { IncomingHttpHeaders } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import type { About, GenerationWatch } from '../inference/observed.ts';
import type { Logger } from '../log.ts';
import { version } from '../version.ts';

export type Tracing = ReturnType<typeof createTracing>;

const lastSendMs = 2_000;
const propagator = new W3CTraceContextPropagator();
const headerGetter: TextMapGetter<IncomingHttpHeaders> = {
  keys: (headers) => Object.keys(headers),
  get: (headers, name) => headers[name],
};

/** `endpoint`: of an OTLP collector, as in OTEL_EXPORTER_OTLP_ENDPOINT; its path for traces is added. */
export function createTracing(endpoint: string, log: Logger) {
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'millm-gateway', 'service.version': version }),
    sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new OTLPTraceExporter({ url: `${endpoint}/v1/traces` }),
        scheduledDelayMillis: 1_000,
      }),
    ],
  });
  const tracer = provider.getTracer('millm-gateway', version);
  const open = new Map<string, { span: Span; context: Context }>();

  return {
    /** A request came in; a trace that its headers name goes on. */
    begin(requestId: string, method: string, headers: IncomingHttpHeaders): void {
      const parent = propagator.extract(ROOT_CONTEXT, headers, headerGetter);
      const span = tracer.startSpan(
        method,
        { kind: SpanKind.SERVER, attributes: { 'http.request.method': method, 'millm.request_id': requestId } },
        parent,
      );
      open.set(requestId, { span, context: trace.setSpan(ROOT_CONTEXT, span) });
    },

    end(requestId: string, method: string, route: string, status: number): void {
      const found = open.get(requestId);
      open.delete(requestId);
      if (!found) return;
      found.span.updateName(`${method} ${route}`);
      found.span.setAttributes({ 'http.route': route, 'http.response.status_code': status });
      if (status >= 500) found.span.setStatus({ code: SpanStatusCode.ERROR });
      found.span.end();
    },

    observe({ requestId, modelName }: About): GenerationWatch {
      const span = tracer.startSpan(
        'generate',
        {
          kind: SpanKind.CLIENT,
          attributes: { 'gen_ai.operation.name': 'generate', 'gen_ai.request.model': modelName },
        },
        open.get(requestId)?.context ?? ROOT_CONTEXT,
      );
      let isFirst = true;
      return {
        traceparent: traceparentOf(span),
        event(event) {
          if (event.type === 'delta' && isFirst) {
            isFirst = false;
            span.addEvent('first token');
          }
          if (event.type !== 'done') return;
          span.setAttributes({
            'gen_ai.usage.input_tokens': event.prompt_tokens,
            'gen_ai.usage.output_tokens': event.completion_tokens,
            'millm.cached_tokens': event.cached_tokens,
            'millm.steered_positions': event.steered_positions,
            'millm.queue_s': event.timings.queue_s,
            'millm.prefill_s': event.timings.prefill_s,
            'millm.decode_s': event.timings.decode_s,
          });
        },
        end(outcome) {
          if (outcome.kind === 'failed') span.setStatus({ code: SpanStatusCode.ERROR, message: outcome.error.code });
          if (outcome.kind === 'aborted') span.setAttribute('millm.aborted', true);
          span.end();
        },
      };
    },

    /** Sends what is left; a collector that is away holds nobody up. */
    async close(): Promise<void> {
      const sent = provider.shutdown().catch((error: unknown) => {
        log.warn({ event: 'traces:lost', err: error }, 'the last traces could not be sent');
      });
      await Promise.race([sent, setTimeout(lastSendMs, undefined, { ref: false })]);
    },
  };
}

function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, '0')}`;
}
