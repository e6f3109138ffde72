// The subscriptions of one connection: each holds its watch while it is not paused, and begins with a snapshot.
import type { FeatureStatistics, MonitorAsk, MonitorSnapshot } from '@millm/proto/live';
import { AppError } from '../errors.ts';
import type { Watch } from '../inference/feed-contract.ts';
import type { Delivery, Receiver } from './delivery.ts';
import { subscriptionId } from './projection.ts';
import type { Ask } from './projection.ts';

/** An ask as it was read from the wire, where a field may be there without a value. */
export type GivenAsk = { [Field in keyof MonitorAsk]: MonitorAsk[Field] | undefined };

export interface Listener extends Receiver {
  snapshot: (snapshot: MonitorSnapshot) => void;
}

export interface WatcherDeps {
  resolve: (ask: GivenAsk) => Ask;
  acquire: (watch: Watch) => Promise<() => Promise<void>>;
  statistics: (saeId: string) => Promise<FeatureStatistics[]>;
  snapshot: (ask: Ask, statistics: readonly FeatureStatistics[]) => MonitorSnapshot;
  delivery: Delivery;
}

interface Subscription {
  ask: Ask;
  /** null = paused. */
  release: (() => Promise<void>) | null;
  /** Counts starts and stops, so that a start that took long sees that it is no longer wanted. */
  turn: number;
}

const mostPerConnection = 32;

export type Watcher = ReturnType<typeof openWatcher>;

export function openWatcher(listener: Listener, { resolve, acquire, statistics, snapshot, delivery }: WatcherDeps) {
  const subscriptions = new Map<string, Subscription>();
  let isClosed = false;

  async function start(subscription: Subscription): Promise<number> {
    const { ask } = subscription;
    const turn = ++subscription.turn;
    const release = await acquire({ sae_id: ask.sae_id, top_k: ask.top_k, features: ask.features });
    const known = await statistics(ask.sae_id);
    if (isClosed || subscription.turn !== turn) {
      await release();
      return 0;
    }
    subscription.release = release;
    const first = snapshot(ask, known);
    listener.snapshot(first);
    delivery.subscribe(ask, listener);
    return first.seq;
  }

  async function stop(id: string, subscription: Subscription): Promise<void> {
    subscription.turn += 1;
    delivery.unsubscribe(id, listener.id);
    const { release } = subscription;
    subscription.release = null;
    await release?.();
  }

  const chosen = (id: string | undefined) => [...subscriptions].filter(([known]) => id === undefined || known === id);

  return {
    /** Asking for the same again begins again, with a new snapshot. */
    async subscribe(wanted: GivenAsk): Promise<{ subscription_id: string; seq: number }> {
      const ask = resolve(wanted);
      const id = subscriptionId(ask);
      const before = subscriptions.get(id);
      if (!before && subscriptions.size >= mostPerConnection) {
        throw new AppError('CONFLICT', `One connection can hold ${mostPerConnection} subscriptions.`);
      }
      if (before) before.turn += 1;
      const subscription: Subscription = { ask, release: null, turn: 0 };
      subscriptions.set(id, subscription);
      try {
        const seq = await start(subscription);
        return { subscription_id: id, seq };
      } catch (error) {
        if (subscriptions.get(id) === subscription) subscriptions.delete(id);
        throw error;
      } finally {
        await before?.release?.();
      }
    },
    async unsubscribe(id?: string): Promise<void> {
      for (const [known, subscription] of chosen(id)) {
        subscriptions.delete(known);
        await stop(known, subscription);
      }
    },
    async pause(id?: string): Promise<void> {
      for (const [known, subscription] of chosen(id)) await stop(known, subscription);
    },
    async resume(id?: string): Promise<void> {
      for (const [, subscription] of chosen(id)) if (subscription.release === null) await start(subscription);
    },
    async close(): Promise<void> {
      isClosed = true;
      await this.unsubscribe();
    },
  };
}
