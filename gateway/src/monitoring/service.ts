// Live monitoring: who watches → the sidecar; its frames → recorder → those who watch. Knows no sockets.
import type { FeatureStatistics, LiveFrame, MonitorInfo, MonitorSnapshot } from '@millm/proto/live';
import type { InferenceClient } from '../inference/client.ts';
import type { AttachedSae } from '../inference/contract.ts';
import type { Feed, FeedNews } from '../inference/feed.ts';
import type { Watch } from '../inference/feed-contract.ts';
import type { Logger } from '../log.ts';
import { attachedSae, requireIndex } from '../steering/resolve.ts';
import type { Cache } from '../storage/cache.ts';
import { createControl } from './control.ts';
import type { MonitorSettings } from './control.ts';
import { createDelivery } from './delivery.ts';
import type { DeliveryOptions } from './delivery.ts';
import { createIntake } from './intake.ts';
import { project, subscriptionId } from './projection.ts';
import type { Ask } from './projection.ts';
import { createRecorder } from './recorder.ts';
import type { HistoryQuery, RecordedFrame } from './recorder.ts';
import { createReplicas } from './replicas.ts';
import { createRolling } from './rolling.ts';
import { createSubscriptions } from './subscriptions.ts';
import { openWatcher } from './watcher.ts';
import type { GivenAsk, Listener, Watcher } from './watcher.ts';

export interface MonitoringOptions {
  feed: Feed;
  client: Pick<InferenceClient, 'setMonitor'>;
  cache: Cache;
  labels: (saeId: string) => Promise<ReadonlyMap<number, string>>;
  attached: () => readonly AttachedSae[];
  log: Logger;
  intervalMs?: number;
  /** Another gateway lives: what it may have changed is worth a look. */
  onPeer: () => void;
}

export type Monitoring = ReturnType<typeof monitoringService>;
export type MonitorEvent = { type: 'state'; info: MonitorInfo } | { type: 'cleared'; seq: number };

const messageIntervalMs = 100;
const snapshotFrames = 200;
const snapshotFeatures = 100;
const defaultTopK = 8;
/** A replica's word may have reached the sidecar after ours: for this long ours is repeated. */
const settlingMs = 15_000;

export function monitoringService(options: MonitoringOptions) {
  const { feed, client, cache, attached, log, intervalMs = messageIntervalMs } = options;
  const listeners = new Set<(event: MonitorEvent) => void>();
  let send: DeliveryOptions['send'] = () => undefined;

  const recorder = createRecorder();
  const subscriptions = createSubscriptions({ client, attached, log });
  const replicas = createReplicas({
    cache,
    log,
    about: () => ({ instanceId: feed.instanceId(), watches: subscriptions.own() }),
    onChange: () => void subscriptions.setPeers(replicas.peers().flatMap(({ watches }) => watches)).then(tellState),
    onHeard() {
      if (subscriptions.toldAgoMs() < settlingMs) void subscriptions.refresh(null);
      options.onPeer();
    },
  });
  const rolling = createRolling({ cache, log });
  const intake = createIntake({ feed, cache, replicas, labels: options.labels, log, accept: record });
  const delivery = createDelivery({
    recorder,
    intervalMs,
    droppedUpstream: intake.dropped,
    send: (receivers, message) => send(receivers, message),
  });
  const control = createControl({ id: replicas.id, cache, log, apply, clear: forget });

  function record(frames: Omit<RecordedFrame, 'timestamp'>[]): void {
    const ranked = new Set(subscriptions.watching().flatMap(({ sae_id, top_k }) => (top_k > 0 ? [sae_id] : [])));
    const recorded = frames.map((frame) => recorder.add(frame, ranked.has(frame.sae_id)));
    delivery.notify(recorded);
    rolling.add(recorded);
  }

  async function apply({ paused, watches, history_size }: MonitorSettings): Promise<void> {
    if (history_size !== recorder.limit()) recorder.resize(history_size);
    try {
      await subscriptions.setStanding(watches);
      await subscriptions.setPaused(paused);
    } finally {
      tellState();
    }
  }

  function forget(): void {
    recorder.clear();
    delivery.reset();
    void rolling.clear();
    listeners.forEach((listener) => listener({ type: 'cleared', seq: recorder.seq() }));
  }

  function info(): MonitorInfo {
    const watching = subscriptions.watching();
    return {
      enabled: watching.length > 0,
      paused: subscriptions.isPaused(),
      standing: subscriptions.standing(),
      watching,
      subscribers: subscriptions.watchers(),
      history_size: recorder.limit(),
      frames: recorder.size(),
      dropped_upstream: intake.dropped(),
      since: recorder.since(),
    };
  }

  function tellState(): void {
    const event = { type: 'state' as const, info: info() };
    listeners.forEach((listener) => listener(event));
  }

  function resolve(ask: GivenAsk): Ask {
    const sae = attachedSae(ask.sae_id ?? null, attached(), 'sae_id');
    const features = [...new Set(ask.features ?? [])];
    features.forEach((index, position) => requireIndex(index, sae, `features[${position}]`));
    const top_k = ask.top_k ?? (features.length > 0 ? 0 : defaultTopK);
    return { sae_id: sae.sae_id, top_k, features, request_id: ask.request_id ?? null };
  }

  async function statistics(saeId: string, only?: readonly number[]): Promise<FeatureStatistics[]> {
    const names = await options.labels(saeId);
    const wanted = only && new Set(only);
    return recorder
      .statistics(saeId)
      .filter(({ index }) => !wanted || wanted.has(index))
      .map(({ index, activeRatio, ...rest }) => ({
        feature_idx: index,
        label: names.get(index) ?? null,
        ...rest,
        active_ratio: activeRatio,
      }));
  }

  /** The caller starts listening in the same turn, so that nothing falls between the two. */
  function snapshot(ask: Ask, known: readonly FeatureStatistics[]): MonitorSnapshot {
    const chosen = new Set(ask.features);
    const others = known.filter(({ feature_idx }) => !chosen.has(feature_idx)).sort((a, b) => b.count - a.count);
    return {
      subscription_id: subscriptionId(ask),
      ask,
      gateway_id: replicas.id,
      seq: recorder.seq(),
      frames: recorder.recent(ask, snapshotFrames).map((frame): LiveFrame => ({
        ...frame,
        features: project(ask, frame.features),
      })),
      statistics: [
        ...known.filter(({ feature_idx }) => chosen.has(feature_idx)),
        ...(ask.top_k > 0 ? others.slice(0, snapshotFeatures) : []),
      ],
      tokens: recorder.tokens(ask.sae_id),
    };
  }

  const stopListening = feed.on((news: FeedNews) => {
    if (news.type === 'snapshot') void subscriptions.refresh(news.monitor.watches).then(tellState);
    else if (news.type === 'state')
      void subscriptions.refresh(subscriptions.isIdle() ? undefined : null).then(tellState);
    else if (news.type === 'resumed') void subscriptions.refresh();
  });

  return {
    id: replicas.id,
    info,
    statistics,
    resolve,
    history: (query: HistoryQuery) => recorder.history(query),
    requests: () => recorder.requests(),
    tokens: (saeId: string) => recorder.tokens(saeId),
    saeIds: () => recorder.saeIds(),
    settings: (): MonitorSettings => ({
      paused: subscriptions.isPaused(),
      watches: subscriptions.standing(),
      history_size: recorder.limit(),
    }),
    configure: (settings: MonitorSettings) => control.set(settings),
    clear: () => control.clear(),
    /** One connection's subscriptions. */
    open: (listener: Listener): Watcher =>
      openWatcher(listener, {
        resolve,
        delivery,
        snapshot,
        statistics,
        async acquire(watch: Watch) {
          const release = await subscriptions.acquire(watch);
          const say = () => {
            tellState();
            void replicas.say();
          };
          say();
          return () => release().then(say);
        },
      }),
    on(listener: (event: MonitorEvent) => void): () => void {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    sendWith(sender: DeliveryOptions['send']): void {
      send = sender;
    },
    async start(): Promise<void> {
      recorder.restore(await rolling.read());
      await intake.start();
      await replicas.start();
      await control.start();
    },
    async close(): Promise<void> {
      stopListening();
      delivery.close();
      await intake.close();
      await control.close();
      await replicas.close();
      await rolling.close();
    },
  };
}
