// Who watches what → what the sidecar is told to watch. Nobody watching means an empty list, and then no hook.
import type { Logger } from '../log.ts';
import type { InferenceClient } from '../inference/client.ts';
import type { Watch } from '../inference/feed-contract.ts';
import { unionOf } from './projection.ts';

export interface SubscriptionsOptions {
  client: Pick<InferenceClient, 'setMonitor'>;
  /** The SAEs attached now; only those can be watched. */
  attached: () => readonly { sae_id: string }[];
  log: Logger;
}

export type Subscriptions = ReturnType<typeof createSubscriptions>;

export function createSubscriptions({ client, attached, log }: SubscriptionsOptions) {
  /** One entry per watcher: its watch, by identity. */
  const watchers = new Set<{ watch: Watch }>();
  let standing: Watch[] = [];
  let peers: Watch[] = [];
  let isPaused = false;
  /** What the sidecar was last told, as text; null = unknown. */
  let told: string | null = null;
  let lastText: string | null = null;
  let toldAt = -Infinity;
  let pending: Promise<void> = Promise.resolve();

  const own = () => unionOf([...standing, ...[...watchers].map(({ watch }) => watch)]);

  function wanted(): Watch[] {
    if (isPaused) return [];
    const here = new Set(attached().map((sae) => sae.sae_id));
    return unionOf([...own(), ...peers]).filter(({ sae_id }) => here.has(sae_id));
  }

  /** One call at a time, each with what is wanted when its turn comes: the last word is always the newest. */
  function tell(): Promise<void> {
    const turn = pending.then(async () => {
      const watches = wanted();
      const text = JSON.stringify(watches);
      if (text === told) return;
      told = null;
      await client.setMonitor({ watches });
      if (text !== lastText) toldAt = performance.now();
      told = lastText = text;
      log.debug({ event: 'monitor:watching', watches: watches.length }, 'the sidecar watches');
    });
    pending = turn.catch(() => undefined);
    return turn;
  }

  /** For changes nobody waits for; what fails now is told again when the sidecar is heard from. */
  async function tellQuietly(): Promise<void> {
    try {
      await tell();
    } catch (error) {
      log.warn({ event: 'monitor:not-told', err: error }, 'the sidecar could not be told what to watch');
    }
  }

  return {
    /** What the watchers of this process want. */
    own,
    watching: wanted,
    standing: () => standing,
    isPaused: () => isPaused,
    watchers: () => watchers.size,
    /** Resolves when the sidecar watches it: from then on no token is missed. Call the answer to let go. */
    async acquire(watch: Watch): Promise<() => Promise<void>> {
      const entry = { watch };
      watchers.add(entry);
      const release = async () => {
        if (watchers.delete(entry)) await tellQuietly();
      };
      try {
        await tell();
      } catch (error) {
        await release();
        throw error;
      }
      return release;
    },
    async setStanding(watches: readonly Watch[]): Promise<void> {
      standing = unionOf(watches);
      await tell();
    },
    async setPeers(watches: readonly Watch[]): Promise<void> {
      peers = unionOf(watches);
      await tellQuietly();
    },
    async setPaused(paused: boolean): Promise<void> {
      isPaused = paused;
      await tell();
    },
    /** What is attached changed, or the sidecar is heard again. `known`: what it says it watches; null = anything. */
    async refresh(known?: readonly Watch[] | null): Promise<void> {
      if (known !== undefined) {
        pending = pending.then(() => {
          told = known === null ? null : JSON.stringify(unionOf(known));
        });
      }
      await tellQuietly();
    },
    /** The sidecar was told nothing, or nothing but an empty list. */
    isIdle: () => told === '[]',
    /** How long ago it was told something new. */
    toldAgoMs: () => performance.now() - toldAt,
  };
}
