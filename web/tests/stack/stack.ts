/**
 * The real gateway for the browser tests: a process of its own with an embedded database in a folder that goes with it, and
 * the scripted sidecar (gateway/test/fake-inference.ts) in the test's own process, so that a test can say what it does.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startFakeInference, type FakeInference } from '../../../gateway/test/fake-inference.ts';

const gateway = fileURLToPath(new URL('../../../gateway/', import.meta.url));
const START_MS = 60_000;
const STEP_MS = 50;

export interface Stack {
  url: string;
  /** The sidecar behind it: its scenario, its hub, what it was asked. */
  fake: FakeInference;
  /** One call to /api; throws when it is refused. */
  api: <T = unknown>(method: string, path: string, body?: unknown) => Promise<T>;
  /** The state in which every test begins: model loaded, `demo` attached, nothing else. */
  reset: () => Promise<void>;
  close: () => Promise<void>;
}

export async function startStack(env: Record<string, string> = {}): Promise<Stack> {
  const fake = await startFakeInference();
  const dataDir = mkdtempSync(join(tmpdir(), 'millm-e2e-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(process.execPath, ['src/server.ts'], {
    cwd: gateway,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: String(port),
      INFERENCE_URL: fake.url,
      LOG_LEVEL: 'warn',
      MILLM_DATA_DIR: dataDir,
      MILLM_BOOTSTRAP: join(gateway, 'test/fake-bootstrap.json'),
      MILLM_RECONCILE_INTERVAL_S: '0.1',
      MILLM_SHUTDOWN_GRACE_S: '0',
      ...env,
    },
  });
  let output = '';
  child.stdout.on('data', (piece: Buffer) => (output = (output + piece.toString()).slice(-4_000)));

  const api: Stack['api'] = async (method, path, body) => {
    const response = await fetch(`${url}/api${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const { data, error } = (await response.json()) as { data: never; error: { code: string; message: string } | null };
    if (error) throw new Error(`${method} ${path}: ${error.code}: ${error.message}`);
    return data;
  };
  const stack: Stack = {
    url,
    fake,
    api,
    reset: () => reset(stack),
    async close() {
      await stop(child);
      await fake.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  try {
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`The gateway ended with ${child.exitCode}:\n${output}`);
      return (await fetch(`${url}/api/health/ready`).catch(() => null))?.ok ?? false;
    }, START_MS);
  } catch (error) {
    await stack.close();
    throw error;
  }
  return stack;
}

interface Listed {
  id: string;
  source: string;
  status: string;
  locked: boolean;
}

async function reset({ fake, api, url }: Stack): Promise<void> {
  Object.assign(fake, { scenario: 'plain', script: null, loadDelayMs: 0 });
  fake.requests.length = 0;
  fake.hub.stepMs = 20;
  for (const { id } of await api<{ id: string }[]>('GET', '/profiles')) await api('DELETE', `/profiles/${id}`);
  await api('DELETE', '/steering');
  await api('PUT', '/monitor', { paused: false, watches: [] });
  await api('DELETE', '/monitor/history');
  await api('PATCH', '/config', { request_log_enabled: false });
  await api('DELETE', '/requests');
  for (const { id, state } of await api<{ id: string; state: string }[]>('GET', '/downloads')) {
    if (state === 'running' || state === 'queued') await api('POST', `/downloads/${id}/cancel`);
  }
  const models = await api<Listed[]>('GET', '/models');
  for (const { id, locked } of models) if (locked) await api('POST', `/models/${id}/unlock`);
  const first = models.find(({ source }) => source === 'manifest');
  if (first && first.status !== 'loaded') await api('POST', `/models/${first.id}/load`);
  for (const { id, source } of models) if (source !== 'manifest') await api('DELETE', `/models/${id}`);
  await until(async () => (await fetch(`${url}/api/health/ready`)).ok);
  for (const { id, source } of await api<Listed[]>('GET', '/saes')) {
    if (source !== 'manifest') await api('DELETE', `/saes/${id}`);
  }
  await until(async () => (await api<Listed[]>('GET', '/models')).some(({ status }) => status === 'loaded'));
  if ((await api<{ attached: boolean }>('GET', '/saes/demo')).attached) return;
  await api('POST', '/saes/demo/attach');
  await until(async () => (await api<{ attached: boolean }>('GET', '/saes/demo')).attached);
}

export async function until(condition: () => Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const limit = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > limit) throw new Error('It did not come true in time.');
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const patience = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(patience);
}
