// What machines do: a sidecar that hangs, a disk that is full, a database or Redis that goes away, clients that dawdle.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { modelName, until } from '../build-test-app.ts';
import { copyTemplate } from '../database.ts';
import { startFakeInference } from '../fake-inference.ts';
import { chatInline, connectLive, subscribe } from '../live-client.ts';
import { freePort, isReady, startGatewayProcess, temporary, untilReady } from '../gateway-process.ts';

const timeout = 90_000;
const hi = { model: modelName, messages: [{ role: 'user', content: 'hi' }] };

const chat = async (url: string, body: object = hi) => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as { error?: { code: string } } };
};

async function fakeSidecar() {
  const fake = await startFakeInference();
  onTestFinished(() => fake.close());
  return fake;
}

describe('a sidecar that hangs', () => {
  it(
    'is noticed, fails what waits for it, stalls nothing else, and is used again when it goes on',
    { timeout },
    async () => {
      const port = await freePort();
      const sidecar = spawn(process.execPath, [
        fileURLToPath(new URL('../fake-inference.ts', import.meta.url)),
        String(port),
      ]);
      onTestFinished(() => void sidecar.kill('SIGKILL'));
      const gateway = await startGatewayProcess({
        inferenceUrl: `http://127.0.0.1:${port}`,
        dataDir: temporary(copyTemplate()),
        env: { MILLM_STREAM_IDLE_TIMEOUT_S: '2', MILLM_MODEL_WAIT_S: '1' },
      });
      await untilReady(gateway);
      sidecar.kill('SIGSTOP');
      const stuck = await chat(gateway.url);
      expect([stuck.status, stuck.body.error?.code]).toEqual([504, 'deadline_exceeded']);
      await until(async () => !(await isReady(gateway)), 15_000);
      const begun = performance.now();
      expect((await fetch(`${gateway.url}/api/profiles`)).status).toBe(200);
      expect(performance.now() - begun).toBeLessThan(1_000);
      expect((await chat(gateway.url)).body.error?.code).toBe('sidecar_unavailable');
      sidecar.kill('SIGCONT');
      await untilReady(gateway);
      expect((await chat(gateway.url)).status).toBe(200);
    },
  );
});

describe('a full disk', () => {
  it('under the log costs lines of the log and nothing else', { timeout }, async () => {
    const full = openSync('/dev/full', 'w');
    for (const format of ['json', 'console']) {
      const gateway = await startGatewayProcess({
        inferenceUrl: (await fakeSidecar()).url,
        dataDir: temporary(copyTemplate()),
        env: { LOG_LEVEL: 'debug', LOG_FORMAT: format },
        stdio: ['ignore', full, full],
      });
      await untilReady(gateway);
      for (let n = 0; n < 20; n += 1) expect((await chat(gateway.url)).status).toBe(200);
      gateway.child.kill('SIGTERM');
      expect(await gateway.exitCode).toBe(0);
    }
  });
});

const adminUrl = process.env['MILLM_TEST_DATABASE_URL'];

/** Between the gateway and what it needs: `cut` ends every connection and takes no new one, `freeze` lets nothing through. */
async function startWire(target: URL, usualPort = 5432) {
  const sockets = new Set<Socket>();
  let state: 'open' | 'cut' | 'frozen' = 'open';
  const server = createServer((near) => {
    if (state === 'cut') return void near.destroy();
    const far = connect(Number(target.port || usualPort), target.hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (data) => state === 'open' && to.write(data));
      from.on('error', () => undefined).on('close', () => to.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    set(next: typeof state) {
      state = next;
      if (next === 'frozen') return;
      sockets.forEach((socket) => socket.destroy());
      sockets.clear();
    },
  };
}

describe.skipIf(adminUrl === undefined)('a database that goes away', () => {
  it(
    'stops nobody from generating, says so to who manages, and is used again when it is back',
    { timeout },
    async () => {
      const name = `millm_faults_${process.pid}`;
      const admin = async (sql: string) => {
        const client = new pg.Client({ connectionString: adminUrl });
        await client.connect();
        await client.query(sql);
        await client.end();
      };
      await admin(`DROP DATABASE IF EXISTS ${name}`);
      await admin(`CREATE DATABASE ${name}`);
      onTestFinished(() => admin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
      const url = new URL(adminUrl ?? '');
      const wire = await startWire(new URL(url));
      Object.assign(url, { host: `127.0.0.1:${wire.port}`, pathname: `/${name}` });
      const gateway = await startGatewayProcess({
        inferenceUrl: (await fakeSidecar()).url,
        dataDir: tmpdir(),
        env: { DATABASE_URL: url.href, MILLM_API_KEYS: 'boot' },
      });
      await untilReady(gateway);
      const headers = { authorization: 'Bearer boot', 'content-type': 'application/json' };
      const manage = async (method: string, path: string, body?: object) => {
        const response = await fetch(gateway.url + path, {
          method,
          headers,
          ...(body && { body: JSON.stringify(body) }),
        });
        return {
          status: response.status,
          body: (await response.json()) as { data: { secret: string }; error: { code: string } | null },
        };
      };
      const { secret } = (await manage('POST', '/api/keys', { name: 'app' })).body.data;
      const generate = async () =>
        (
          await fetch(`${gateway.url}/v1/chat/completions`, {
            method: 'POST',
            headers: { ...headers, authorization: `Bearer ${secret}` },
            body: JSON.stringify(hi),
          })
        ).status;
      expect(await generate()).toBe(200);

      for (const how of ['cut', 'frozen'] as const) {
        wire.set(how);
        await new Promise((resolve) => setTimeout(resolve, 1_200)); // what is kept for a second is old now
        expect([how, await generate()]).toEqual([how, 200]);
        const refused = await manage('POST', '/api/keys', { name: 'x' });
        expect([how, refused.status, refused.body.error?.code]).toEqual([how, 503, 'DATABASE_UNAVAILABLE']);
        expect((await fetch(`${gateway.url}/api/health`)).status).toBe(200);
        wire.set('open');
        await until(async () => (await manage('GET', '/api/profiles')).status === 200, 20_000);
      }
      expect((await manage('POST', '/api/keys', { name: 'y' })).status).toBe(201);
      expect(gateway.child.exitCode).toBeNull();
    },
  );
});

const redisUrl = process.env['MILLM_TEST_REDIS_URL'];

it.skipIf(redisUrl === undefined)(
  'Redis going away and coming back is a line of the log: requests, settings and live views go on',
  { timeout },
  async () => {
    const url = new URL(redisUrl ?? '');
    const wire = await startWire(new URL(url), 6379);
    Object.assign(url, { host: `127.0.0.1:${wire.port}`, pathname: '/11' });
    const sidecar = await fakeSidecar();
    const gateway = await startGatewayProcess({
      inferenceUrl: sidecar.url,
      dataDir: temporary(copyTemplate()),
      env: { REDIS_URL: url.href, MILLM_RATE_LIMIT_PER_MINUTE: '1000' },
    });
    await untilReady(gateway);
    expect(gateway.output()).toContain('redis:connected');
    const screen = await connectLive(gateway.url, '/monitor');
    await subscribe(screen, { top_k: 2 });
    const works = async (id: string) => {
      await chatInline(gateway.url, hi, id);
      await until(() => screen.frames().some(({ request_id }) => request_id === id));
      const body = JSON.stringify({ features: [{ index: 7, strength: id.length }] });
      const headers = { 'content-type': 'application/json' };
      expect((await fetch(`${gateway.url}/api/steering`, { method: 'PUT', headers, body })).status).toBe(200);
      expect((await fetch(`${gateway.url}/api/health/ready`)).status).toBe(200);
    };
    await works('with');
    wire.set('cut');
    await until(() => gateway.output().includes('redis:lost'));
    await works('without');
    wire.set('open');
    await until(() => gateway.output().includes('redis:recovered'));
    await works('again');
    expect(gateway.output().split('redis:lost')).toHaveLength(2);
  },
);

describe('clients that dawdle', () => {
  it('a thousand of them leave room for the others, and are sent away', { timeout }, async () => {
    const gateway = await startGatewayProcess({
      inferenceUrl: (await fakeSidecar()).url,
      dataDir: temporary(copyTemplate()),
      env: { MILLM_REQUEST_TIMEOUT_S: '4' },
    });
    await untilReady(gateway);
    const { port } = new URL(gateway.url);
    let closed = 0;
    const open = async (write: string) => {
      const socket = connect(Number(port), '127.0.0.1');
      socket.on('error', () => undefined).on('close', () => (closed += 1));
      onTestFinished(() => void socket.destroy());
      await once(socket, 'connect');
      socket.resume().write(write);
      return socket;
    };
    // Nothing; half a header; a body that comes a byte at a time.
    await Promise.all(Array.from({ length: 980 }, () => open('')));
    await Promise.all(Array.from({ length: 10 }, () => open('GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A: ')));
    const slow = await Promise.all(
      Array.from({ length: 10 }, () =>
        open(
          'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n',
        ),
      ),
    );
    const drip = setInterval(() => slow.forEach((socket) => socket.destroyed || socket.write('{')), 200);
    onTestFinished(() => clearInterval(drip));
    const begun = performance.now();
    expect((await chat(gateway.url)).status).toBe(200);
    expect(performance.now() - begun).toBeLessThan(1_500);
    await until(() => closed === 1_000, 20_000);
    expect((await chat(gateway.url)).status).toBe(200);
  });
});
