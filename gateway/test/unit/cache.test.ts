// One behaviour, two implementations; then what only Redis can do: go away.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Logger } from '../../src/log.ts';
import { openCache } from '../../src/storage/cache.ts';
import type { Cache } from '../../src/storage/cache.ts';

const logs: { event: string }[] = [];
const write = (fields: unknown) => void logs.push(fields as { event: string });
const log = { debug: write, info: write, warn: write, error: write } as unknown as Logger;

const server = await findRedis();
let port = 0;
let process_: ChildProcess | null = null;

async function findRedis(): Promise<string | null> {
  const child = spawn('redis-server', ['--version'], { stdio: 'ignore' });
  const found = await Promise.race([
    once(child, 'exit').then(([code]) => code === 0),
    once(child, 'error').then(() => false),
  ]);
  return found ? 'redis-server' : null;
}

async function startRedis(): Promise<void> {
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  const child = spawn(server ?? '', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  process_ = child;
  for await (const line of child.stdout) if (String(line).includes('Ready to accept')) return;
}

async function stopRedis(): Promise<void> {
  const child = process_;
  process_ = null;
  if (!child || child.exitCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function open(url?: string): Promise<Cache> {
  const cache = await openCache({ redisUrl: url }, log);
  onTestFinished(() => cache.close());
  if (url !== undefined) await until(() => cache.isShared());
  return cache;
}

async function until(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const limit = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > limit) throw new Error('It did not come true in time.');
    await sleep(10);
  }
}

beforeAll(async () => {
  if (server === null) return;
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  port = (probe.address() as AddressInfo).port;
  probe.close();
  await startRedis();
  return stopRedis;
});

const url = () => `redis://127.0.0.1:${port}`;
const kinds = [{ kind: 'memory', address: () => undefined }, ...(server ? [{ kind: 'redis', address: url }] : [])];

describe.each(kinds)('a cache in $kind', ({ address }) => {
  it('keeps a value for its time, and never the object itself', async () => {
    const cache = await open(address());
    const value = { list: [1, 2] };
    await cache.set('a', value, 80);
    value.list.push(3);
    expect(await cache.get('a')).toEqual({ list: [1, 2] });
    expect(await cache.get('b')).toBeNull();
    await sleep(120);
    expect(await cache.get('a')).toBeNull();
  });

  it('deletes', async () => {
    const cache = await open(address());
    await cache.set('gone', 1, 10_000);
    await cache.delete('gone');
    expect(await cache.get('gone')).toBeNull();
  });

  it('counts in a window that does not slide', async () => {
    const cache = await open(address());
    expect(await cache.increment('hits', 150)).toBe(1);
    await sleep(60);
    expect(await cache.increment('hits', 150, 2)).toBe(3);
    await sleep(130);
    expect(await cache.increment('hits', 150)).toBe(1);
  });

  it('gives a lock to one, who alone can extend or release it', async () => {
    const cache = await open(address());
    const lock = await cache.lock('door', 60);
    expect(lock).not.toBeNull();
    expect(await cache.lock('door', 60)).toBeNull();
    expect(await lock?.extend(120)).toBe(true);
    await sleep(80);
    expect(await cache.lock('door', 60)).toBeNull();
    await sleep(70);
    const next = await cache.lock('door', 10_000);
    expect(next).not.toBeNull();
    expect(await lock?.extend(60)).toBe(false);
    await lock?.release();
    expect(await cache.lock('door', 60)).toBeNull();
    await next?.release();
    expect(await cache.lock('door', 60)).not.toBeNull();
  });

  it('brings a message to every subscriber, until it leaves', async () => {
    const cache = await open(address());
    const heard: unknown[] = [];
    const leave = await cache.subscribe('news', (message) => heard.push(message));
    const stay = await cache.subscribe('news', (message) => heard.push(message));
    await cache.publish('news', { n: 1 });
    await cache.publish('elsewhere', { n: 2 });
    expect(heard).toEqual([{ n: 1 }, { n: 1 }]);
    await leave();
    await cache.publish('news', { n: 3 });
    expect(heard).toEqual([{ n: 1 }, { n: 1 }, { n: 3 }]);
    await stay();
  });

  it('survives a subscriber that throws', async () => {
    const cache = await open(address());
    const heard: unknown[] = [];
    await cache.subscribe('loud', () => {
      throw new Error('no');
    });
    await cache.subscribe('loud', (message) => heard.push(message));
    await cache.publish('loud', 1);
    expect(heard).toEqual([1]);
  });
});

describe.skipIf(server === null)('Redis', () => {
  it('is shared by replicas', async () => {
    const [a, b] = [await open(url()), await open(url())];
    const heard: unknown[] = [];
    await b.subscribe('between', (message) => heard.push(message));
    await a.publish('between', 'hello');
    await until(() => heard.length > 0);
    await a.set('shared', 1, 5_000);
    expect(await b.get('shared')).toBe(1);
    expect(await a.lock('one', 5_000)).not.toBeNull();
    expect(await b.lock('one', 5_000)).toBeNull();
    expect(await a.increment('both', 5_000)).toBe(1);
    expect(await b.increment('both', 5_000)).toBe(2);
  });

  it('going away is a log line, not an error; coming back is noticed, and subscriptions with it', async () => {
    const [a, b] = [await open(url()), await open(url())];
    const heard: unknown[] = [];
    await b.subscribe('after', (message) => heard.push(message));
    logs.length = 0;

    await stopRedis();
    await until(() => logs.filter(({ event }) => event === 'redis:lost').length === 2);
    await a.set('local', 'mine', 60_000);
    expect(await a.get('local')).toBe('mine');
    expect(await b.get('local')).toBeNull();
    expect(await a.increment('alone', 60_000)).toBe(1);
    expect(await a.lock('alone', 60_000)).not.toBeNull();
    const own: unknown[] = [];
    await a.subscribe('after', (message) => own.push(message));
    await a.publish('after', 'only here');
    expect(own).toEqual(['only here']);
    expect(a.isShared()).toBe(false);

    await startRedis();
    await until(() => logs.filter(({ event }) => event === 'redis:recovered').length === 2);
    await a.publish('after', 'both again');
    await until(() => heard.length > 0);
    expect(heard).toEqual(['both again']);
    await b.publish('after', 'and back');
    await until(() => own.includes('and back'));
    expect(logs.filter(({ event }) => event === 'redis:lost')).toHaveLength(2);
  }, 30_000);

  it('not being there at the start is the same', async () => {
    logs.length = 0;
    const cache = await openCache({ redisUrl: 'redis://127.0.0.1:1' }, log);
    onTestFinished(() => cache.close());
    await cache.set('a', 1, 1_000);
    expect(await cache.get('a')).toBe(1);
    await until(() => logs.some(({ event }) => event === 'redis:lost'));
    expect(logs.filter(({ event }) => event === 'redis:lost')).toHaveLength(1);
  });
});
