// What happens in this installation, as events that a screen can show: the sidecar's state and metrics, and the active
// steering, whichever gateway changed it. Knows no sockets.
import type { ProgressUpdate, SteeringUpdate, SystemMetrics, SystemSnapshot } from '@millm/proto/live';
import type { Feed, FeedNews } from '../inference/feed.ts';
import type { FeedEventOf } from '../inference/feed-contract.ts';
import type { Logger } from '../log.ts';
import type { ActiveSteering } from '../steering/service.ts';
import type { Cache } from '../storage/cache.ts';
import { changesBetween, nothingLoaded } from './changes.ts';
import type { Loaded } from './changes.ts';
import { noSteering, toEvents, toMetrics, toSteeringUpdate } from './live-wire.ts';
import type { SystemEvent } from './live-wire.ts';
import { createProgress, loadPercent } from './progress.ts';

export interface LiveSystemOptions {
  id: string;
  feed: Feed;
  cache: Cache;
  log: Logger;
  /** The active configuration as it is stored now. */
  readSteering: () => Promise<ActiveSteering>;
}

export type LiveSystem = ReturnType<typeof createLiveSystem>;

const channel = 'system:changed';
const statusKey = 'system:status';
const statusMs = 5_000;

export function createLiveSystem({ id, feed, cache, log, readSteering }: LiveSystemOptions) {
  const listeners = new Set<(event: SystemEvent) => void>();
  const progressListeners = new Set<(update: ProgressUpdate) => void>();
  const progress = createProgress({ send: (update) => progressListeners.forEach((listener) => listener(update)) });
  let loaded: Loaded = nothingLoaded;
  let instanceId: string | null = null;
  let steering: SteeringUpdate | null = null;
  let looking: Promise<void> = Promise.resolve();
  let leave: (() => Promise<void>) | null = null;
  let onRemoteChange: () => void = () => void lookAtSteering();

  const say = (event: SystemEvent) => listeners.forEach((listener) => listener(event));

  function hear(news: FeedNews): void {
    switch (news.type) {
      case 'snapshot':
        if (news.state.instance_id === instanceId) news.downloads.forEach(progress.download);
        else {
          progress.restart(news.downloads);
          move(nothingLoaded); // the process that had it is gone
        }
        instanceId = news.state.instance_id;
        say({ name: 'system:sidecar', data: { reachable: true, instance_id: instanceId } });
        return move(news.state);
      case 'state':
        return move(news.state);
      case 'lost':
        return say({ name: 'system:sidecar', data: { reachable: false, instance_id: instanceId } });
      case 'resumed':
        return say({ name: 'system:sidecar', data: { reachable: true, instance_id: instanceId } });
      case 'metrics': {
        const metrics = toMetrics(news);
        void cache.set(statusKey, metrics, statusMs);
        return say({ name: 'system:metrics', data: metrics });
      }
      case 'load':
        return tellLoad(news);
      case 'download':
        return progress.download(news.download);
      case 'activations':
        return;
      default:
        news satisfies never;
    }
  }

  function move(after: Loaded): void {
    const changes = changesBetween(loaded, after);
    loaded = { model: after.model, saes: after.saes };
    changes.flatMap(toEvents).forEach(say);
  }

  function tellLoad(event: FeedEventOf<'load'>): void {
    const { model_id: modelId, stage, message } = event;
    progress.load(event);
    say({ name: 'model:load:progress', data: { modelId, stage, progress: loadPercent(stage) } });
    if (stage !== 'failed') return;
    const error = { code: 'MODEL_LOAD_FAILED', message: message ?? 'The model could not be loaded.' };
    say({ name: 'model:load:error', data: { modelId, error } });
  }

  /** Looks at what is stored, one look at a time, and says it where it differs from the last. */
  function lookAtSteering(): Promise<void> {
    looking = looking.then(async () => {
      try {
        const now = toSteeringUpdate(await readSteering());
        const isNews = steering !== null && JSON.stringify(now) !== JSON.stringify(steering);
        steering = now;
        if (isNews) say({ name: 'steering:update', data: now });
      } catch (error) {
        log.warn({ event: 'steering:not-read', err: error }, 'the active steering could not be read');
      }
    });
    return looking;
  }

  const stop = feed.on(hear);

  return {
    /** This gateway stored something: our screens, and those of the others. */
    async steeringChanged(): Promise<void> {
      await lookAtSteering();
      await cache.publish(channel, { from: id });
    },
    lookAtSteering,
    onRemoteChange: (listener: () => void) => void (onRemoteChange = listener),
    async snapshot(): Promise<SystemSnapshot> {
      if (steering === null) await lookAtSteering();
      const metrics = feed.metrics();
      return {
        gateway_id: id,
        seq: feed.seq(),
        state: feed.state(),
        metrics: metrics ? toMetrics(metrics) : await cache.get<SystemMetrics>(statusKey),
        steering: steering ?? noSteering,
      };
    },
    progress: () => progress.all(),
    on(listener: (event: SystemEvent) => void): () => void {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    onProgress(listener: (update: ProgressUpdate) => void): () => void {
      progressListeners.add(listener);
      return () => void progressListeners.delete(listener);
    },
    async start(): Promise<void> {
      await lookAtSteering();
      leave = await cache.subscribe(channel, (message) => {
        if ((message as { from?: unknown } | null)?.from !== id) onRemoteChange();
      });
    },
    async close(): Promise<void> {
      stop();
      progress.close();
      await leave?.();
      await looking;
    },
  };
}
