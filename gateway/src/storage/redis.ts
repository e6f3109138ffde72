// Redis while it is there, this process's memory while it is not: its coming and going is a log line, never a user's error.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Logger } from '../log.ts';
import type { Cache, Lock } from './cache.ts';
import { memoryCache } from './memory.ts';

const prefix = 'millm:';
const lastRetryMs = 2_000;
const commandTimeoutMs = 1_000;
const firstWaitMs = 2_000;

const extendOwn = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0`;
const releaseOwn = `if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0`;
const incrementOnce = `local n = redis.call('incrby', KEYS[1], ARGV[1])
if redis.call('pttl', KEYS[1]) < 0 then redis.call('pexpire', KEYS[1], ARGV[2]) end
return n`;

export async function redisCache({ url, log }: { url: string; log: Logger }): Promise<Cache> {
  const id = randomUUID();
  // Channels are the whole server's: the number of the database keeps installations apart, as it does for keys.
  const channelName = (channel: string) => `${prefix}${commands.options.db ?? 0}:${channel}`;
  const local = memoryCache({ log });
  const listening = new Map<string, number>();
  let isClosed = false;
  let isUp: boolean | null = null;

  const options = {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: commandTimeoutMs,
    connectTimeout: 2_000,
    retryStrategy: (attempt: number) => Math.min(50 * 2 ** Math.min(attempt, 8), lastRetryMs),
  };
  const commands = new Redis(url, options);
  // A connection that subscribes can do nothing else.
  const bus = new Redis(url, { ...options, autoResubscribe: false });

  function see(up: boolean, error?: unknown): void {
    if (isClosed || up === isUp) return;
    const isFirst = isUp === null;
    isUp = up;
    if (up) log.info({ event: isFirst ? 'redis:connected' : 'redis:recovered' }, 'sharing through Redis');
    else log.warn({ event: 'redis:lost', err: error }, 'Redis is away: this process goes on with its own memory');
  }

  const isShared = () => commands.status === 'ready' && bus.status === 'ready';
  const look = () => isShared() && see(true);
  let lastError: unknown;
  for (const connection of [commands, bus]) {
    connection.on('error', (error) => (lastError = error));
    connection.on('close', () => see(false, lastError));
  }
  commands.on('ready', look);
  bus.on('ready', () => {
    const channels = [...listening.keys()].map(channelName);
    void (channels.length > 0 ? bus.subscribe(...channels) : Promise.resolve()).then(look, (error: unknown) => {
      log.warn({ event: 'redis:subscribe-failed', err: error }, 'subscribing again failed');
      bus.disconnect(true);
    });
  });
  bus.on('message', (name: string, text: string) => {
    const { from, message } = JSON.parse(text) as { from: string; message: unknown };
    if (from !== id) void local.publish(name.slice(channelName('').length), message);
  });
  const connected = Promise.all([commands.connect(), bus.connect()]).catch((error: unknown) => see(false, error));
  await Promise.race([connected, sleep(firstWaitMs, undefined, { ref: false })]);

  /** A failing command degrades; the next one tries again. */
  async function either<T>(remote: () => Promise<T>, instead: () => Promise<T>): Promise<T> {
    if (commands.status !== 'ready') return instead();
    try {
      return await remote();
    } catch (error) {
      if (!isClosed) log.debug({ event: 'redis:command-failed', err: error }, 'a Redis command failed');
      return instead();
    }
  }

  async function remoteLock(name: string, ttlMs: number): Promise<Lock | null> {
    const token = randomUUID();
    if ((await commands.set(name, token, 'PX', ttlMs, 'NX')) !== 'OK') return null;
    return {
      extend: (extraMs) =>
        either(
          async () => (await commands.eval(extendOwn, 1, name, token, extraMs)) === 1,
          async () => false,
        ),
      release: () =>
        either(
          async () => void (await commands.eval(releaseOwn, 1, name, token)),
          async () => undefined,
        ),
    };
  }

  return {
    backend: 'redis',
    isShared,
    get: <T>(key: string) =>
      either<T | null>(
        async () => {
          const text = await commands.get(prefix + key);
          return text === null ? null : (JSON.parse(text) as T);
        },
        () => local.get<T>(key),
      ),
    set: (key, value, ttlMs) =>
      either(
        async () => void (await commands.set(prefix + key, JSON.stringify(value), 'PX', ttlMs)),
        () => local.set(key, value, ttlMs),
      ),
    delete: (key) =>
      either(
        async () => void (await commands.del(prefix + key)),
        () => local.delete(key),
      ),
    increment: (key, ttlMs, by = 1) =>
      either(
        async () => Number(await commands.eval(incrementOnce, 1, prefix + key, by, ttlMs)),
        () => local.increment(key, ttlMs, by),
      ),
    lock: (key, ttlMs) =>
      either(
        () => remoteLock(`${prefix}lock:${key}`, ttlMs),
        () => local.lock(key, ttlMs),
      ),
    async publish(channel, message) {
      await local.publish(channel, message);
      await either(
        async () => void (await commands.publish(channelName(channel), JSON.stringify({ from: id, message }))),
        async () => undefined,
      );
    },
    async subscribe(channel, listener) {
      const unsubscribe = await local.subscribe(channel, listener);
      const before = listening.get(channel) ?? 0;
      listening.set(channel, before + 1);
      // When it is not connected yet, connecting subscribes.
      if (before === 0 && bus.status === 'ready')
        await bus.subscribe(channelName(channel)).catch(() => bus.disconnect(true));
      return async () => {
        await unsubscribe();
        const left = (listening.get(channel) ?? 1) - 1;
        if (left > 0) return void listening.set(channel, left);
        listening.delete(channel);
        if (bus.status === 'ready') await bus.unsubscribe(channelName(channel)).catch(() => undefined);
      };
    },
    async close() {
      isClosed = true;
      commands.disconnect();
      bus.disconnect();
      await local.close();
    },
  };
}
