// Real gateway processes, killed the hard way.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { manifestPath, until } from '../build-test-app.ts';
import { copyTemplate } from '../database.ts';
import { startFakeInference } from '../fake-inference.ts';
import type { FakeInference } from '../fake-inference.ts';

const server = fileURLToPath(new URL('../../src/server.ts', import.meta.url));
let fake: FakeInference;

beforeAll(async () => {
  fake = await startFakeInference();
  return () => fake.close();
});

interface Gateway {
  url: string;
  child: ChildProcess;
  output: () => string;
  exitCode: Promise<number | null>;
}

async function startGateway(dataDir: string, env: Record<string, string> = {}): Promise<Gateway> {
  const port = await freePort();
  const child = spawn(process.execPath, [server], {
    env: {
      PATH: process.env['PATH'],
      PORT: String(port),
      INFERENCE_URL: fake.url,
      MILLM_DATA_DIR: dataDir,
      MILLM_BOOTSTRAP: manifestPath,
      MILLM_RECONCILE_INTERVAL_S: '0.2',
      ...env,
    },
  });
  let text = '';
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  child.stderr.on('data', (data: Buffer) => (text += data.toString()));
  const exitCode = once(child, 'exit').then(([code]) => code as number | null);
  onTestFinished(() => void child.kill('SIGKILL'));
  return { url: `http://127.0.0.1:${env['PORT'] ?? port}`, child, output: () => text, exitCode };
}

const isReady = async ({ url }: Gateway) =>
  fetch(`${url}/api/health/ready`).then(
    (response) => response.ok,
    () => false,
  );
const untilReady = (gateway: Gateway) => until(() => isReady(gateway), 40_000);

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

function temporary(path: string): string {
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function setStrength({ url }: Gateway, index: number, strength: number): Promise<void> {
  const response = await fetch(`${url}/api/steering/features/${index}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ strength }),
  });
  if (!response.ok) throw new Error(await response.text());
}

async function strengthOf({ url }: Gateway, index: number): Promise<number | undefined> {
  const { data } = (await (await fetch(`${url}/api/steering`)).json()) as {
    data: { features: { index: number; strength: number }[] };
  };
  return data.features.find((feature) => feature.index === index)?.strength;
}

describe('kill -9 of the gateway', () => {
  it('loses nothing that was acknowledged, again and again', { timeout: 90_000 }, async () => {
    const dataDir = temporary(copyTemplate());
    let acknowledged = 0;
    for (let round = 0; round < 3; round += 1) {
      const gateway = await startGateway(dataDir);
      await untilReady(gateway);
      if (acknowledged > 0) expect(await strengthOf(gateway, 1)).toBeGreaterThanOrEqual(acknowledged);
      const writing = (async () => {
        for (;;) {
          await setStrength(gateway, 1, acknowledged + 1);
          acknowledged += 1;
        }
      })().catch(() => undefined);
      const before = acknowledged;
      await until(() => acknowledged >= before + 5);
      gateway.child.kill('SIGKILL');
      await gateway.exitCode;
      await writing;
    }
    const last = await startGateway(dataDir);
    await untilReady(last);
    expect(await strengthOf(last, 1)).toBeGreaterThanOrEqual(acknowledged);
  });

  it('during the very first start leaves a directory that opens', { timeout: 90_000 }, async () => {
    const dataDir = temporary(mkdtempSync(join(tmpdir(), 'millm-first-')));
    const first = await startGateway(dataDir);
    await until(() => existsSync(join(dataDir, 'db', 'cluster.new')), 20_000);
    first.child.kill('SIGKILL');
    await first.exitCode;
    expect(existsSync(join(dataDir, 'db', 'cluster'))).toBe(false);
    const second = await startGateway(dataDir);
    await untilReady(second);
  });
});

describe('the process', () => {
  it('refuses a data directory that another one is using, in one sentence', { timeout: 60_000 }, async () => {
    const dataDir = temporary(copyTemplate());
    const first = await startGateway(dataDir);
    await untilReady(first);
    const second = await startGateway(dataDir);
    expect(await second.exitCode).toBe(1);
    expect(second.output()).toContain(`in use by process ${first.child.pid}`);
    expect(await isReady(first)).toBe(true);
  });

  it('says which port is taken, and which setting is unknown', { timeout: 60_000 }, async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    onTestFinished(() => void taken.close());
    const port = String((taken.address() as AddressInfo).port);
    const second = await startGateway(temporary(copyTemplate()), { PORT: port });
    expect(await second.exitCode).toBe(1);
    expect(second.output()).toContain(`Port ${port} on 127.0.0.1 is in use`);
    const third = await startGateway('/nonexistent', { MILLM_NOPE: '1' });
    expect(await third.exitCode).toBe(2);
    expect(third.output()).toContain('Unknown setting: MILLM_NOPE');
  });

  it('finishes what is running when asked to stop, and refuses what is new', { timeout: 60_000 }, async () => {
    const gateway = await startGateway(temporary(copyTemplate()));
    await untilReady(gateway);
    const answer = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'smollm2-135m-instruct',
        stream: true,
        max_tokens: 60,
        messages: [{ role: 'user', content: '[[slow]]' }],
      }),
    });
    gateway.child.kill('SIGTERM');
    await until(async () => (await fetch(`${gateway.url}/health`)).status === 503);
    const refused = await fetch(`${gateway.url}/v1/models`);
    expect([refused.status, await refused.json()]).toMatchObject([503, { error: { code: 'shutting_down' } }]);
    expect(await answer.text()).toContain('data: [DONE]');
    expect(await gateway.exitCode).toBe(0);
  });
});
