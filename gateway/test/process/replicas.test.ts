// Two gateway processes on one PostgreSQL and one Redis.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { SteeringUpdate } from '@millm/proto/live';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { manifestPath, modelId, modelName, until } from '../build-test-app.ts';
import { startFakeInference } from '../fake-inference.ts';
import type { FakeInference } from '../fake-inference.ts';
import { chatInline, connectLive, subscribe } from '../live-client.ts';

const server = fileURLToPath(new URL('../../src/server.ts', import.meta.url));
const adminUrl = process.env['MILLM_TEST_DATABASE_URL'];
const redisUrl = process.env['MILLM_TEST_REDIS_URL'];
const database = `millm_replicas_${process.pid}`;

interface Gateway {
  url: string;
  child: ChildProcess;
  output: () => string;
}

async function admin(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  await client.query(sql);
  await client.end();
}

async function startGateway(fake: FakeInference): Promise<Gateway> {
  const port = await freePort();
  const databaseUrl = new URL(adminUrl ?? '');
  databaseUrl.pathname = `/${database}`;
  const child = spawn(process.execPath, [server], {
    env: {
      PATH: process.env['PATH'],
      PORT: String(port),
      INFERENCE_URL: fake.url,
      DATABASE_URL: databaseUrl.href,
      REDIS_URL: redisUrl,
      MILLM_DATA_DIR: tmpdir(),
      MILLM_BOOTSTRAP: manifestPath,
      MILLM_RECONCILE_INTERVAL_S: '0.2',
    },
  });
  let text = '';
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  child.stderr.on('data', (data: Buffer) => (text += data.toString()));
  onTestFinished(() => void child.kill('SIGKILL'));
  const url = `http://127.0.0.1:${port}`;
  const isReady = () =>
    fetch(`${url}/api/health/ready`).then(
      (response) => response.ok,
      () => false,
    );
  await until(isReady, 40_000);
  return { url, child, output: () => text };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}

async function kill({ child }: Gateway): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

const api = async (gateway: Gateway, method: string, path: string, body?: unknown) => {
  const response = await fetch(`${gateway.url}/api${path}`, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  return ((await response.json()) as { data: Record<string, unknown> }).data;
};
const hello = { model: modelName, messages: [{ role: 'user', content: 'Hi' }] };

describe.skipIf(adminUrl === undefined || redisUrl === undefined)(
  'two gateways on one PostgreSQL and one Redis',
  () => {
    beforeAll(async () => {
      await admin(`DROP DATABASE IF EXISTS ${database}`);
      await admin(`CREATE DATABASE ${database}`);
    });
    afterAll(() => admin(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`));

    async function startTwo() {
      const fake = await startFakeInference();
      onTestFinished(() => fake.close());
      const a = await startGateway(fake);
      const b = await startGateway(fake);
      await until(() => b.output().includes('replica:found') && a.output().includes('replica:found'));
      return { fake, a, b };
    }

    it('what one causes, screens of the other show; killing it loses nothing that was acknowledged', async () => {
      const { a, b } = await startTwo();
      const screen = await connectLive(b.url, '/system');
      await screen.wait('system:snapshot');

      await api(a, 'PUT', '/steering', { features: [{ index: 7, strength: 2.5 }] });
      const [update] = await screen.wait<SteeringUpdate>('steering:update');
      expect(update?.values).toEqual({ 7: 2.5 });
      await api(a, 'POST', '/saes/demo/detach');
      await screen.wait('sae:detached');
      await api(a, 'POST', '/saes/demo/attach');
      await screen.wait('sae:attached');
      await api(a, 'PATCH', '/steering/features/8', { strength: -1 });
      await kill(a);

      expect(await api(b, 'GET', '/steering')).toMatchObject({ features: [{ index: 7 }, { index: 8, strength: -1 }] });
      const ready = await fetch(`${b.url}/api/health/ready`);
      expect(ready.ok).toBe(true);
      expect(await api(b, 'GET', `/models/${modelId}`)).toMatchObject({ status: 'loaded' });
    }, 60_000);

    it('both watch one sidecar: neither turns the other off, and a request through one is seen on both', async () => {
      const { fake, a, b } = await startTwo();
      const onA = await connectLive(a.url, '/monitor');
      const onB = await connectLive(b.url, '/monitor');
      await subscribe(onA, { top_k: 2 });
      await subscribe(onB, { features: [100] });
      const union = JSON.stringify([{ sae_id: 'demo', top_k: 2, features: [100] }]);
      await until(() => JSON.stringify(fake.feed.watches()) === union);

      const inline = await chatInline(a.url, { ...hello, activations: { features: [100] } }, 'through-a');
      await until(() => onB.frames().filter(({ prompt }) => !prompt).length >= (inline[0]?.length ?? 0));
      await until(() => onA.frames().length === onB.frames().length);
      expect(onA.frames().map(({ position }) => position)).toEqual(onB.frames().map(({ position }) => position));

      await onA.ask('monitor:unsubscribe');
      await until(() => fake.feed.watches()[0]?.top_k === 0);
      expect(fake.feed.watches()).toEqual([{ sae_id: 'demo', top_k: 0, features: [100] }]);
      await subscribe(onA, { top_k: 4 });
      await kill(b);
      // Its watch goes when it has been silent for a while.
      await until(
        () => JSON.stringify(fake.feed.watches()) === JSON.stringify([{ sae_id: 'demo', top_k: 4, features: [] }]),
        30_000,
      );
      await chatInline(a.url, hello, 'still-there');
      await until(() => onA.frames().some(({ request_id }) => request_id === 'still-there'));
    }, 90_000);

    it('a gateway that starts later knows the last minute, and two sidecars are shown on both', async () => {
      const [first, second] = [await startFakeInference(), await startFakeInference()];
      onTestFinished(async () => {
        await first.close();
        await second.close();
      });
      const a = await startGateway(first);
      const onA = await connectLive(a.url, '/monitor');
      await subscribe(onA, { top_k: 2 });
      await chatInline(a.url, hello, 'before-b');
      await until(() => onA.frames().length > 3);
      await new Promise((resolve) => setTimeout(resolve, 1_500)); // written once a second

      const b = await startGateway(second);
      const history = await api(b, 'GET', '/monitor/history?request_id=before-b');
      expect(history['total']).toBe(onA.frames().length);
      await until(() => second.feed.watches().length === 1);
      await chatInline(b.url, hello, 'through-b');
      await until(() => onA.frames().some(({ request_id }) => request_id === 'through-b'));
      const seen = onA.frames().filter(({ request_id }) => request_id === 'through-b');
      expect(new Set(seen.map(({ position }) => position)).size).toBe(seen.length);
    }, 90_000);
  },
);
