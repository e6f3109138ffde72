// The last minute of frames where other replicas, and this one after a restart, find them. One replica writes: all hear the
// same sidecar. Five seconds are one entry, so that little is written again.
import type { Logger } from '../log.ts';
import type { Cache, Lock } from '../storage/cache.ts';
import type { RecordedFrame } from './recorder.ts';

const bucketMs = 5_000;
const keptMs = 60_000;
const flushMs = 1_000;
const lockMs = 5_000;
/** Per bucket; at a thousand tokens a second, older ones of the same bucket are left out. */
const bucketLimit = 2_000;

export type Rolling = ReturnType<typeof createRolling>;

export function createRolling({ cache, log, now = Date.now }: { cache: Cache; log: Logger; now?: () => number }) {
  const dirty = new Map<number, RecordedFrame[]>();
  let lock: Lock | null = null;
  let timer: NodeJS.Timeout | undefined;
  let isFlushing = false;

  const bucketAt = (time: number) => Math.floor(time / bucketMs);
  const key = (bucket: number) => `monitor:frames:${bucket}`;

  async function isWriter(): Promise<boolean> {
    if (lock && (await lock.extend(lockMs))) return true;
    lock = await cache.lock('monitor:writer', lockMs);
    return lock !== null;
  }

  async function flush(): Promise<void> {
    if (isFlushing) return;
    isFlushing = true;
    try {
      const current = bucketAt(now());
      const writes = await isWriter();
      for (const [bucket, frames] of dirty) {
        if (writes) await cache.set(key(bucket), frames.slice(-bucketLimit), keptMs + bucketMs);
        if (bucket < current) dirty.delete(bucket);
      }
    } catch (error) {
      log.warn({ event: 'monitor:not-kept', err: error }, 'recent frames could not be shared');
    } finally {
      isFlushing = false;
      timer = dirty.size > 0 ? setTimeout(() => void flush(), flushMs) : undefined;
    }
  }

  return {
    add(frames: readonly RecordedFrame[]): void {
      const bucket = bucketAt(now());
      const kept = dirty.get(bucket) ?? [];
      dirty.set(bucket, kept);
      kept.push(...frames);
      if (kept.length > 2 * bucketLimit) kept.splice(0, kept.length - bucketLimit);
      timer ??= setTimeout(() => void flush(), flushMs);
    },
    /** Oldest first. */
    async read(): Promise<RecordedFrame[]> {
      const current = bucketAt(now());
      const buckets = Array.from({ length: keptMs / bucketMs + 1 }, (_, back) => current - keptMs / bucketMs + back);
      const found = await Promise.all(buckets.map((bucket) => cache.get<RecordedFrame[]>(key(bucket))));
      return found.flatMap((frames) => frames ?? []);
    },
    async clear(): Promise<void> {
      dirty.clear();
      const current = bucketAt(now());
      for (let back = 0; back <= keptMs / bucketMs; back += 1) await cache.delete(key(current - back));
    },
    async close(): Promise<void> {
      clearTimeout(timer);
      await lock?.release();
    },
  };
}
