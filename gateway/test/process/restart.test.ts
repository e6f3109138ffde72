// Real gateway processes, killed the hard way.
import { once } from 'node:events';
import { existsSync, mkdtempSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { until } from '../build-test-app.ts';
import { copyTemplate } from '../database.ts';
import { startFakeInference } from '../fake-inference.ts';
import type { FakeInference } from '../fake-inference.ts';
import { isReady, startGatewayProcess, temporary, untilReady } from '../gateway-process.ts';
import type { GatewayProcess } from '../gateway-process.ts';

let fake: FakeInference;

beforeAll(async () => {
  fake = await startFakeInference();
  return () => fake.close();
});

const startGateway = (dataDir: string, env: Record<string, string> = {}) =>
  startGatewayProcess({ inferenceUrl: fake.url, dataDir, env });

async function setStrength({ url }: GatewayProcess, index: number, strength: number): Promise<void> {
  const response = await fetch(`${url}/api/steering/features/${index}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ strength }),
  });
  if (!response.ok) throw new Error(await response.text());
}

async function strengthOf({ url }: GatewayProcess, index: number): Promise<number | undefined> {
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

  it('waits for nobody who has left, polls, or only keeps a connection ready', { timeout: 60_000 }, async () => {
    const gateway = await startGateway(temporary(copyTemplate()));
    await untilReady(gateway);
    fake.scenario = 'slow';
    onTestFinished(() => void (fake.scenario = 'plain'));
    for (const stream of [true, false, true, false]) {
      const leave = new AbortController();
      const answer = fetch(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        signal: leave.signal,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'smollm2-135m-instruct', stream, messages: [{ role: 'user', content: 'hi' }] }),
      });
      await until(() => fake.running > 0);
      leave.abort();
      await answer.then((response) => response.text()).catch(() => undefined);
      await until(() => fake.running === 0);
    }
    await fetch(`${gateway.url}/socket.io/?EIO=4&transport=polling`);
    const unused = connect(Number(new URL(gateway.url).port), '127.0.0.1').on('error', () => undefined);
    onTestFinished(() => void unused.destroy());
    await once(unused, 'connect');
    const begun = performance.now();
    gateway.child.kill('SIGTERM');
    expect(await gateway.exitCode).toBe(0);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  it('ends in time what does not, with an error that says why', { timeout: 60_000 }, async () => {
    const gateway = await startGateway(temporary(copyTemplate()), { MILLM_SHUTDOWN_GRACE_S: '0.5' });
    await untilReady(gateway);
    fake.scenario = 'stall';
    onTestFinished(() => void (fake.scenario = 'plain'));
    const ask = (stream: boolean) =>
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'smollm2-135m-instruct', stream, messages: [{ role: 'user', content: 'hi' }] }),
      });
    const [streamed, whole] = [await ask(true), ask(false)];
    await until(() => fake.running === 2);
    const begun = performance.now();
    gateway.child.kill('SIGTERM');
    expect(await streamed.text()).toMatch(/"code":"shutting_down"[^]*\[DONE\]/);
    const refused = await whole;
    expect([refused.status, await refused.json()]).toMatchObject([503, { error: { code: 'shutting_down' } }]);
    expect(await gateway.exitCode).toBe(0);
    expect(performance.now() - begun).toBeLessThan(5_000);
    await until(() => fake.running === 0);
  });
});
