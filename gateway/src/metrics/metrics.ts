// What Prometheus is told: vLLM's names with our prefix, so that its dashboards port; docs/operate.md lists them.
// Each gateway counts the requests that came through it; gauges show the sidecar as this gateway last saw it.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RuntimeState } from '../inference/contract.ts';
import type { About, GenerationWatch } from '../inference/observed.ts';
import type { RequestAccount } from '../requests/meter.ts';

export interface MetricsOptions {
  state: () => RuntimeState | null;
  nameOf: (modelId: string) => Promise<string>;
  now?: () => number;
}

export type Metrics = ReturnType<typeof createMetrics>;

const model = ['model_name'] as const;
const quick = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5];
const waits = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80];
const lengths = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000];

export function createMetrics({ state, nameOf, now = () => performance.now() }: MetricsOptions) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter({ name, help, labelNames, registers });
  const histogram = <T extends string>(name: string, help: string, labelNames: readonly T[], buckets: number[]) =>
    new Histogram({ name, help, labelNames, buckets, registers });

  const promptTokens = counter('millm:prompt_tokens_total', 'Prompt tokens of answered requests.', model);
  const generationTokens = counter('millm:generation_tokens_total', 'Generated tokens.', model);
  const prefixQueries = counter('millm:prefix_cache_queries_total', 'Prompt tokens looked up in the cache.', model);
  const prefixHits = counter('millm:prefix_cache_hits_total', 'Prompt tokens served from the prefix cache.', model);
  const success = counter('millm:request_success_total', 'Finished choices, by reason: stop, length, abort.', [
    ...model,
    'finished_reason',
  ]);
  const failure = counter('millm:request_failure_total', 'Failed generations, by code.', [...model, 'code']);
  const steered = counter('millm:steered_positions_total', 'Token positions that steering changed.', model);
  const ttft = histogram('millm:time_to_first_token_seconds', 'Arrival to first token.', model, waits);
  const interToken = histogram('millm:inter_token_latency_seconds', 'Gap between tokens of one choice.', model, quick);
  const endToEnd = histogram('millm:e2e_request_latency_seconds', 'Arrival to the end of the answer.', model, waits);
  const queueTime = histogram('millm:request_queue_time_seconds', 'Waiting for a slot.', model, waits);
  const prefillTime = histogram('millm:request_prefill_time_seconds', 'Computing the prompt.', model, waits);
  const decodeTime = histogram('millm:request_decode_time_seconds', 'Generating the answer.', model, waits);
  const promptLength = histogram('millm:request_prompt_tokens', 'Prompt tokens of a request.', model, lengths);
  const answerLength = histogram('millm:request_generation_tokens', 'Generated tokens of a request.', model, lengths);
  const http = ['handler', 'method', 'status'] as const;
  const httpRequests = counter('http_requests_total', 'Answered requests, by route.', http);
  const httpDuration = histogram('http_request_duration_seconds', 'From request to answer, by route.', http, waits);

  function gauge(name: string, help: string, read: (state: RuntimeState) => number): void {
    new Gauge({
      name,
      help,
      labelNames: model,
      registers,
      async collect() {
        this.reset();
        const seen = state();
        if (seen) this.set({ model_name: seen.model ? await nameOf(seen.model.model_id) : '' }, read(seen));
      },
    });
  }
  gauge('millm:num_requests_running', 'Requests being computed now.', ({ queue }) => queue.running);
  gauge('millm:num_requests_waiting', 'Requests waiting for a slot now.', ({ queue }) => queue.waiting);
  gauge(
    'millm:kv_cache_usage_perc',
    'Share of the memory for keys and values in use, 0 to 1.',
    ({ queue }) => queue.kv_usage ?? 0,
  );
  gauge('millm:slots_free', 'Slots that nobody uses now.', ({ queue }) => queue.slots_free);
  gauge('millm:slots', 'Slots.', ({ queue }) => queue.slots_total);
  gauge('millm:attached_saes', 'SAEs that are attached now.', ({ saes }) => saes.length);
  gauge('millm:model_memory_bytes', 'Memory of the loaded model.', ({ memory }) => memory.model_bytes);
  gauge('millm:sae_memory_bytes', 'Memory of the attached SAEs.', ({ memory }) => memory.sae_bytes);
  gauge('millm:kv_memory_bytes', 'Memory that keys and values take now.', ({ memory }) => memory.kv_bytes);
  gauge('millm:device_memory_used_bytes', 'Memory in use on the device.', ({ memory }) => memory.used_bytes);
  gauge('millm:device_memory_total_bytes', 'Memory of the device.', ({ memory }) => memory.total_bytes);
  new Gauge({
    name: 'millm:sidecar_up',
    help: '1 while the sidecar answers.',
    registers,
    collect() {
      this.set(state() === null ? 0 : 1);
    },
  });

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    names: () => registry.getMetricsAsArray().map(({ name, type }) => ({ name, type: String(type) })),

    answered(route: string, method: string, status: number, seconds: number): void {
      const labels = { handler: route, method, status: String(status) };
      httpRequests.inc(labels);
      httpDuration.observe(labels, seconds);
    },

    /** A request on /v1 whose generations were accounted for. */
    request(account: RequestAccount, elapsedMs: number): void {
      const labels = { model_name: account.modelName };
      endToEnd.observe(labels, elapsedMs / 1000);
      if (account.ttftMs === null) return;
      const beforeMs = elapsedMs - (now() - account.startedAt);
      ttft.observe(labels, Math.max(0, beforeMs + account.ttftMs) / 1000);
    },

    observe({ modelName }: About): GenerationWatch {
      const labels = { model_name: modelName };
      const lastAt = new Map<number, number>();
      return {
        event(event) {
          if (event.type === 'delta' || event.type === 'finish') {
            const [at, count] = [now(), event.token_ids.length];
            const before = lastAt.get(event.index);
            lastAt.set(event.index, at);
            if (count > 0) generationTokens.inc(labels, count);
            // Text is held back while it may turn out to be a stop string: several tokens then come at once.
            if (before !== undefined && count > 0) interToken.observe(labels, (at - before) / 1000 / count);
          }
          if (event.type === 'finish') success.inc({ ...labels, finished_reason: event.finish_reason });
          if (event.type !== 'done') return;
          promptTokens.inc(labels, event.prompt_tokens);
          prefixQueries.inc(labels, event.prompt_tokens);
          prefixHits.inc(labels, event.cached_tokens);
          steered.inc(labels, event.steered_positions);
          promptLength.observe(labels, event.prompt_tokens);
          answerLength.observe(labels, event.completion_tokens);
          queueTime.observe(labels, event.timings.queue_s);
          prefillTime.observe(labels, event.timings.prefill_s);
          decodeTime.observe(labels, event.timings.decode_s);
        },
        end(outcome) {
          if (outcome.kind === 'aborted') success.inc({ ...labels, finished_reason: 'abort' });
          if (outcome.kind === 'failed') failure.inc({ ...labels, code: outcome.error.code });
        },
      };
    },
  };
}
