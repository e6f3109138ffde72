// A whole gateway on a free port, with a fake sidecar, a model and an SAE; taken down when the test ends.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Writable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import OpenAI from 'openai';
import { onTestFinished } from 'vitest';
import { buildApp } from '../src/app.ts';
import { parseConfig } from '../src/config.ts';
import { createLogger } from '../src/log.ts';
import type { Database } from '../src/storage/database.ts';
import { startFakeInference } from './fake-inference.ts';
import type { FakeInference } from './fake-inference.ts';

export const modelName = 'HuggingFaceTB/SmolLM2-135M-Instruct';
export const modelId = 'HuggingFaceTB--SmolLM2-135M-Instruct';
export const manifestPath = join(fileURLToPath(new URL('.', import.meta.url)), 'fake-bootstrap.json');

export interface TestStack {
  url: string;
  app: FastifyInstance;
  fake: FakeInference;
  openai: OpenAI;
  logs: Record<string, unknown>[];
  api: (method: string, path: string, body?: unknown) => Promise<ApiAnswer>;
  v1: (path: string, body: unknown, headers?: Record<string, string>) => Promise<Response>;
}

export interface ApiAnswer {
  status: number;
  headers: Headers;
  body: {
    success: boolean;
    data: never;
    error: { code: string; message: string; details: Record<string, unknown> } | null;
  };
}

export interface StackOptions {
  env?: Record<string, string>;
  fake?: FakeInference;
  /** Sent with every call of `api`. */
  key?: string;
  /** false = do not wait for the model and the SAE. */
  waitUntilReady?: boolean;
}

export async function startStack(database: Database, options: StackOptions = {}): Promise<TestStack> {
  const fake = options.fake ?? (await startFakeInference());
  if (!options.fake) onTestFinished(() => fake.close());
  const logs: Record<string, unknown>[] = [];
  const config = parseConfig({
    INFERENCE_URL: fake.url,
    LOG_LEVEL: 'debug',
    MILLM_BOOTSTRAP: manifestPath,
    MILLM_RECONCILE_INTERVAL_S: '0.1',
    MILLM_MODEL_WAIT_S: '5',
    ...options.env,
  });
  const app = await buildApp({ config, database, log: createLogger(config, collect(logs)) });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  onTestFinished(async () => {
    app.server.closeAllConnections();
    await app.close();
  });
  if (options.waitUntilReady !== false) await until(async () => (await fetch(`${url}/api/health/ready`)).ok);
  return {
    url,
    app,
    fake,
    logs,
    openai: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0 }),
    async api(method, path, body) {
      const response = await fetch(`${url}/api${path}`, {
        method,
        ...(body !== undefined && { body: JSON.stringify(body) }),
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(options.key !== undefined && { authorization: `Bearer ${options.key}` }),
        },
      });
      return { status: response.status, headers: response.headers, body: (await response.json()) as ApiAnswer['body'] };
    },
    v1: (path, body, headers = {}) =>
      fetch(`${url}/v1${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
  };
}

export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const limit = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > limit) throw new Error('It did not come true in time.');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The data of every event of a stream, as sent. */
export async function readFrames(response: Response): Promise<string[]> {
  const text = await response.text();
  return text
    .split('\n\n')
    .filter((block) => block.startsWith('data: '))
    .map((block) => block.slice('data: '.length));
}

function collect(logs: Record<string, unknown>[]): Writable {
  return new Writable({
    write(line: Buffer, _encoding, done) {
      logs.push(JSON.parse(line.toString()) as Record<string, unknown>);
      done();
    },
  });
}
