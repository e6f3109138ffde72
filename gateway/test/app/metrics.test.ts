// What operators see: metrics that parse and move, traces that reach a collector, logs without text.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { modelName, startStack, until } from '../build-test-app.ts';
import type { TestStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();
const hi = { model: modelName, messages: [{ role: 'user', content: 'hi' }] };
const python = fileURLToPath(new URL('../../../inference/.venv/bin/python', import.meta.url));

const metricsText = async ({ url }: TestStack) => (await fetch(`${url}/metrics`)).text();

/** The value of a sample whose line begins with this. */
async function value(stack: TestStack, beginning: string): Promise<number> {
  const line = (await metricsText(stack)).split('\n').find((text) => text.startsWith(beginning));
  return line === undefined ? 0 : Number(line.split(' ').at(-1));
}

const named = `model_name="${modelName}"`;

describe('/metrics', () => {
  it('counts tokens, times and endings under the name that clients know', async () => {
    const stack = await startStack(db.database);
    expect(await value(stack, 'millm:sidecar_up')).toBe(1);
    expect(await value(stack, `millm:kv_cache_usage_perc{${named}}`)).toBe(0.25);
    for (const model of [modelName, 'smollm2-135m-instruct']) {
      await (await stack.v1('/chat/completions', { ...hi, model, stream: true, n: 2 })).text();
    }
    await until(async () => (await value(stack, `millm:e2e_request_latency_seconds_count{${named}}`)) === 2);
    expect(await value(stack, `millm:request_success_total{${named},finished_reason="stop"}`)).toBe(4);
    for (const name of ['prompt_tokens_total', 'generation_tokens_total', 'prefix_cache_queries_total']) {
      expect(await value(stack, `millm:${name}{${named}}`), name).toBeGreaterThan(0);
    }
    for (const name of [
      'time_to_first_token_seconds',
      'request_queue_time_seconds',
      'request_prefill_time_seconds',
      'request_decode_time_seconds',
      'request_prompt_tokens',
      'request_generation_tokens',
    ]) {
      expect(await value(stack, `millm:${name}_count{${named}}`), name).toBe(2);
    }
    expect(await value(stack, `millm:inter_token_latency_seconds_count{${named}}`)).toBeGreaterThan(2);
    const generated = await value(stack, `millm:generation_tokens_total{${named}}`);
    expect(await value(stack, `millm:request_generation_tokens_sum{${named}}`)).toBe(generated);
  });

  it('counts who leaves and what fails, and routes rather than addresses', async () => {
    const stack = await startStack(db.database);
    stack.fake.scenario = 'slow';
    const leave = new AbortController();
    const answer = await fetch(`${stack.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...hi, stream: true }),
      signal: leave.signal,
    });
    await answer.body?.getReader().read();
    leave.abort();
    await until(
      async () => (await value(stack, `millm:request_success_total{${named},finished_reason="abort"}`)) === 1,
    );
    stack.fake.scenario = 'error-late';
    await stack.v1('/chat/completions', hi);
    await until(async () => (await value(stack, `millm:request_failure_total{${named},code="INTERNAL_ERROR"}`)) === 1);
    for (const name of ['a', 'b', 'c']) await fetch(`${stack.url}/api/profiles/${name}`);
    const route = 'http_requests_total{handler="/api/profiles/:id",method="GET",status="404"}';
    await until(async () => (await value(stack, route)) === 3);
  });

  it.skipIf(!existsSync(python))('is what the official parser reads, at both addresses', async () => {
    const stack = await startStack(db.database);
    await (await stack.v1('/chat/completions', hi)).text();
    const read = `import sys
from prometheus_client.parser import text_string_to_metric_families as parse
print(sorted(f.name for f in parse(sys.stdin.read()) if f.name.startswith(("millm:", "http_"))))`;
    for (const path of ['/metrics', '/api/metrics']) {
      const input = await (await fetch(stack.url + path)).text();
      const { stdout, stderr } = spawnSync(python, ['-c', read], { input, encoding: 'utf8' });
      expect(stderr).toBe('');
      expect(stdout).toContain("'millm:prefix_cache_hits'");
      expect(stdout).toContain("'http_request_duration_seconds'");
    }
  });

  it('asks for a key only where it is told to', async () => {
    const open = await startStack(db.database, { env: { MILLM_API_KEYS: 'k' } });
    const status = async ({ url }: TestStack, path: string, key?: string) =>
      (await fetch(url + path, { headers: key === undefined ? {} : { 'x-api-key': key } })).status;
    expect([await status(open, '/metrics'), await status(open, '/api/metrics')]).toEqual([200, 401]);
    const guarded = await startStack(db.database, { env: { MILLM_API_KEYS: 'k', MILLM_GUARD_METRICS: '1' } });
    expect([await status(guarded, '/metrics'), await status(guarded, '/metrics', 'k')]).toEqual([401, 200]);
  });
});

describe('traces', () => {
  interface SpanData {
    name: string;
    traceId: string;
    spanId: string;
    parentSpanId?: string;
    attributes: { key: string; value: unknown }[];
  }

  async function startCollector() {
    const spans: SpanData[] = [];
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (data: Buffer) => (text += data.toString()));
      request.on('end', () => {
        const body = JSON.parse(text) as { resourceSpans: { scopeSpans: { spans: SpanData[] }[] }[] };
        if (request.url === '/v1/traces')
          spans.push(...body.resourceSpans.flatMap((r) => r.scopeSpans.flatMap((s) => s.spans)));
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans };
  }

  it('reach the collector: a span per request, below it one per generation, which the sidecar is told of', async () => {
    const collector = await startCollector();
    const { v1, fake } = await startStack(db.database, { env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } });
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const messages = [{ role: 'user', content: 'the password is swordfish' }];
    const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01`, authorization: 'Bearer sk-secret' };
    await (await v1('/chat/completions', { ...hi, messages }, headers)).text();
    await until(() => collector.spans.some(({ name }) => name === 'POST /v1/chat/completions'));
    const request = collector.spans.find(({ name }) => name === 'POST /v1/chat/completions');
    const generate = collector.spans.find(({ name, traceId: of }) => name === 'generate' && of === traceId);
    expect(request).toMatchObject({ traceId, parentSpanId: 'b7ad6b7169203331' });
    expect(generate).toMatchObject({ traceId, parentSpanId: request?.spanId });
    expect(generate?.attributes.map(({ key }) => key)).toEqual(
      expect.arrayContaining(['gen_ai.request.model', 'gen_ai.usage.output_tokens', 'millm.decode_s']),
    );
    expect(fake.traceparents.at(-1)).toBe(`00-${traceId}-${generate?.spanId}-01`);
    expect(JSON.stringify(collector.spans)).not.toMatch(/swordfish|sk-secret/);
  });

  it('cost nothing and are sent nowhere unless a collector is named', async () => {
    const { v1, fake } = await startStack(db.database);
    await (await v1('/chat/completions', hi)).text();
    expect(fake.traceparents.at(-1)).toBeUndefined();
  });

  it('do no harm when the collector is away', async () => {
    const { v1 } = await startStack(db.database, { env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' } });
    expect((await v1('/chat/completions', hi)).status).toBe(200);
  });
});

describe('the log', () => {
  it('holds prompts only when an operator asks for them', async () => {
    const messages = [{ role: 'user', content: 'the password is swordfish' }];
    const loud = await startStack(db.database, { env: { MILLM_LOG_PROMPTS: '1' } });
    await (await loud.v1('/chat/completions', { ...hi, messages })).text();
    await until(() => JSON.stringify(loud.logs).includes('swordfish'));
  });
});
