// Settings of monitoring that every replica obeys: applied here at once, and carried to the others over the bus.
import { z } from 'zod';
import type { Logger } from '../log.ts';
import type { Cache } from '../storage/cache.ts';

const watch = z.object({ sae_id: z.string(), top_k: z.int(), features: z.array(z.int()) });
const settings = z.object({ paused: z.boolean(), watches: z.array(watch), history_size: z.int() });
const word = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('settings'), from: z.string(), settings }),
  z.object({ kind: z.literal('clear'), from: z.string() }),
]);

export type MonitorSettings = z.output<typeof settings>;
type Word = z.output<typeof word>;

export interface ControlOptions {
  id: string;
  cache: Cache;
  log: Logger;
  apply: (settings: MonitorSettings) => Promise<void>;
  clear: () => void;
}

const channel = 'monitor:control';
const keptMs = 24 * 3_600_000;

export function createControl({ id, cache, log, apply, clear }: ControlOptions) {
  let leave: (() => Promise<void>) | null = null;

  function hear(message: unknown): void {
    const parsed = word.safeParse(message);
    if (!parsed.success || parsed.data.from === id) return;
    if (parsed.data.kind === 'clear') return clear();
    applyQuietly(parsed.data.settings);
  }

  function applyQuietly(wanted: MonitorSettings): void {
    apply(wanted).catch((error: unknown) => {
      log.warn({ event: 'monitor:settings-failed', err: error }, "another gateway's settings could not be applied");
    });
  }

  return {
    async set(wanted: MonitorSettings): Promise<void> {
      await apply(wanted);
      await cache.set(channel, wanted, keptMs);
      await cache.publish(channel, { kind: 'settings', from: id, settings: wanted } satisfies Word);
    },
    async clear(): Promise<void> {
      clear();
      await cache.publish(channel, { kind: 'clear', from: id } satisfies Word);
    },
    async start(): Promise<void> {
      leave = await cache.subscribe(channel, hear);
      const found = settings.safeParse(await cache.get(channel));
      if (found.success) applyQuietly(found.data);
    },
    close: async () => leave?.(),
  };
}
