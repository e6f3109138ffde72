// What replicas share for a moment: values, counters, locks and a bus. In one process it is memory; with REDIS_URL, Redis.
// Nothing durable lives here: every caller must do well when it finds nothing.
import type { Logger } from '../log.ts';
import { memoryCache } from './memory.ts';
import { redisCache } from './redis.ts';

export interface Cache {
  readonly backend: 'memory' | 'redis';
  /** False while Redis is away and only this process is reached. */
  isShared(): boolean;
  get<T>(key: string): Promise<T | null>;
  set(key: string, value: unknown, ttlMs: number): Promise<void>;
  delete(key: string): Promise<void>;
  /** Adds to a counter that began, and ends, `ttlMs` after its first increment; answers the new value. */
  increment(key: string, ttlMs: number, by?: number): Promise<number>;
  /** null = somebody else holds it. */
  lock(key: string, ttlMs: number): Promise<Lock | null>;
  /** Reaches the subscribers of every replica, this one's included. */
  publish(channel: string, message: unknown): Promise<void>;
  subscribe(channel: string, listener: (message: unknown) => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export interface Lock {
  /** False = it expired, and may be another's. */
  extend(ttlMs: number): Promise<boolean>;
  release(): Promise<void>;
}

/** Redis that does not answer at once is waited for a moment, then done without until it does. */
export const openCache = async (config: { redisUrl?: string | undefined }, log: Logger): Promise<Cache> =>
  config.redisUrl === undefined ? memoryCache({ log }) : await redisCache({ url: config.redisUrl, log });
