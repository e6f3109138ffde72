// Where frames come in: from the sidecar this gateway hears, and from replicas that hear another one. Joins the labels.
import { z } from 'zod';
import type { Feed, FeedNews } from '../inference/feed.ts';
import type { FeedEventOf, Frame } from '../inference/feed-contract.ts';
import type { Logger } from '../log.ts';
import type { Cache } from '../storage/cache.ts';
import type { RecordedFrame } from './recorder.ts';
import type { Replicas } from './replicas.ts';

export interface IntakeOptions {
  feed: Feed;
  cache: Cache;
  replicas: Replicas;
  labels: (saeId: string) => Promise<ReadonlyMap<number, string>>;
  log: Logger;
  accept: (frames: Omit<RecordedFrame, 'timestamp'>[]) => void;
}

const channel = 'monitor:frames';
const relayed = z.object({ instance_id: z.string(), frames: z.array(z.custom<Frame>()) });

export function createIntake({ feed, cache, replicas, labels, log, accept }: IntakeOptions) {
  /** Batches in the order they came, though labels may have to be read first. */
  let queue: Promise<void> = Promise.resolve();
  let dropped = 0;
  /** Of this connection, which counts from its start. */
  let droppedHere = 0;
  let leave: (() => Promise<void>) | null = null;

  function take(frames: readonly Frame[]): void {
    queue = queue.then(async () => {
      try {
        accept(await join(frames));
      } catch (error) {
        log.error({ event: 'monitor:frames-lost', frames: frames.length, err: error }, 'frames could not be recorded');
        dropped += frames.length;
      }
    });
  }

  async function join(frames: readonly Frame[]): Promise<Omit<RecordedFrame, 'timestamp'>[]> {
    const bySae = new Map<string, ReadonlyMap<number, string>>();
    for (const { sae_id } of frames) if (!bySae.has(sae_id)) bySae.set(sae_id, await labels(sae_id));
    return frames.map((frame) => ({
      ...frame,
      features: frame.features.map(({ index, value }) => ({
        index,
        value,
        label: bySae.get(frame.sae_id)?.get(index) ?? null,
      })),
    }));
  }

  /** Only when a watching replica hears another sidecar, and then only one of those that hear this one. */
  function mustRelay(): boolean {
    const here = feed.instanceId();
    const peers = replicas.peers();
    const isWanted = peers.some(({ instanceId, watches }) => instanceId !== here && watches.length > 0);
    return isWanted && peers.every((peer) => peer.instanceId !== here || replicas.id < peer.id);
  }

  function hearFeed(event: FeedEventOf<'activations'>): void {
    if (event.dropped < droppedHere) droppedHere = 0;
    dropped += event.dropped - droppedHere;
    droppedHere = event.dropped;
    take(event.frames);
    if (mustRelay()) void cache.publish(channel, { instance_id: feed.instanceId(), frames: event.frames });
  }

  function hearReplica(message: unknown): void {
    const parsed = relayed.safeParse(message);
    if (parsed.success && parsed.data.instance_id !== feed.instanceId()) take(parsed.data.frames);
  }

  const stop = feed.on((news: FeedNews) => {
    if (news.type === 'activations') hearFeed(news);
    else if (news.type === 'lost') droppedHere = 0;
  });

  return {
    dropped: () => dropped,
    async start(): Promise<void> {
      leave = await cache.subscribe(channel, hearReplica);
    },
    async close(): Promise<void> {
      stop();
      await leave?.();
      await queue;
    },
  };
}
