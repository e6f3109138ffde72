import { randomUUID } from 'node:crypto';
import type { Logger } from '../log.ts';
import type { Cache } from './cache.ts';

interface Entry {
  /** As text: what is read is never the object that was stored. */
  json: string;
  expiresAt: number;
}

const sweepAfterMs = 30_000;

/** Time that only goes forward: a clock that is set back would keep a lock for as long. */
const monotonic = () => performance.now();

export function memoryCache({ log, now = monotonic }: { log: Logger; now?: () => number }): Cache {
  const entries = new Map<string, Entry>();
  const channels = new Map<string, Set<(message: unknown) => void>>();
  let sweptAt = now();

  function find(key: string): Entry | undefined {
    const entry = entries.get(key);
    if (!entry || entry.expiresAt > now()) return entry;
    entries.delete(key);
    return undefined;
  }

  function put(key: string, value: unknown, expiresAt: number): void {
    entries.set(key, { json: JSON.stringify(value), expiresAt });
    if (now() - sweptAt < sweepAfterMs) return;
    sweptAt = now();
    for (const [other, entry] of entries) if (entry.expiresAt <= sweptAt) entries.delete(other);
  }

  const valueOf = (key: string): unknown => {
    const entry = find(key);
    return entry ? (JSON.parse(entry.json) as unknown) : null;
  };

  return {
    backend: 'memory',
    isShared: () => true,
    get: async <T>(key: string) => valueOf(key) as T | null,
    set: async (key, value, ttlMs) => put(key, value, now() + ttlMs),
    delete: async (key) => void entries.delete(key),
    async increment(key, ttlMs, by = 1) {
      const entry = find(key);
      const next = (entry ? Number(entry.json) : 0) + by;
      put(key, next, entry?.expiresAt ?? now() + ttlMs);
      return next;
    },
    async lock(key, ttlMs) {
      const name = `lock:${key}`;
      if (find(name)) return null;
      const token = randomUUID();
      put(name, token, now() + ttlMs);
      return {
        async extend(extraMs) {
          if (valueOf(name) !== token) return false;
          put(name, token, now() + extraMs);
          return true;
        },
        async release() {
          if (valueOf(name) === token) entries.delete(name);
        },
      };
    },
    async publish(channel, message) {
      const copy = JSON.stringify(message);
      for (const listener of channels.get(channel) ?? []) {
        try {
          listener(JSON.parse(copy));
        } catch (error) {
          log.error({ event: 'cache:listener-failed', channel, err: error }, 'a subscriber failed');
        }
      }
    },
    async subscribe(channel, listener) {
      const listeners = channels.get(channel) ?? new Set();
      channels.set(channel, listeners.add(listener));
      return async () => {
        listeners.delete(listener);
        if (listeners.size === 0 && channels.get(channel) === listeners) channels.delete(channel);
      };
    },
    async close() {
      entries.clear();
      channels.clear();
    },
  };
}
