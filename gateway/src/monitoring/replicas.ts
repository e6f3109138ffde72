// What the gateways that share a bus tell each other: that they live, which sidecar they hear, and what they watch.
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Watch } from '../inference/feed-contract.ts';
import type { Logger } from '../log.ts';
import type { Cache } from '../storage/cache.ts';

const greeting = z.object({
  gateway_id: z.string(),
  kind: z.enum(['hello', 'alive', 'bye']),
  instance_id: z.string().nullable(),
  watches: z.array(z.object({ sae_id: z.string(), top_k: z.int(), features: z.array(z.int()) })),
});
type Greeting = z.output<typeof greeting>;

export interface Peer {
  id: string;
  instanceId: string | null;
  watches: Watch[];
  heardAt: number;
}

export interface ReplicasOptions {
  cache: Cache;
  log: Logger;
  about: () => { instanceId: string | null; watches: Watch[] };
  /** Somebody came, left, was silent too long, or watches something else. */
  onChange: () => void;
  /** A peer was heard: what it may have changed meanwhile is worth a look. */
  onHeard: () => void;
  intervalMs?: number;
}

const channel = 'replicas';

export type Replicas = ReturnType<typeof createReplicas>;

export function createReplicas({ cache, log, about, onChange, onHeard, intervalMs = 5_000 }: ReplicasOptions) {
  const id = randomUUID();
  const peers = new Map<string, Peer>();
  let timer: NodeJS.Timeout | undefined;
  let leave: (() => Promise<void>) | null = null;

  async function say(kind: Greeting['kind']): Promise<void> {
    const { instanceId, watches } = about();
    await cache.publish(channel, { gateway_id: id, kind, instance_id: instanceId, watches } satisfies Greeting);
  }

  function hear(message: unknown): void {
    const parsed = greeting.safeParse(message);
    if (!parsed.success || parsed.data.gateway_id === id) return;
    const { gateway_id, kind, instance_id, watches } = parsed.data;
    const before = peers.get(gateway_id);
    if (kind === 'bye') peers.delete(gateway_id);
    else peers.set(gateway_id, { id: gateway_id, instanceId: instance_id, watches, heardAt: Date.now() });
    if (!before && kind !== 'bye') log.info({ event: 'replica:found', gateway_id }, 'another gateway is there');
    if (kind === 'hello') void say('alive');
    if (kind === 'bye' || JSON.stringify(before?.watches) !== JSON.stringify(watches)) onChange();
    onHeard();
  }

  function beat(): void {
    void say('alive');
    const silentSince = Date.now() - 3 * intervalMs;
    for (const [gatewayId, peer] of peers) {
      if (peer.heardAt > silentSince) continue;
      peers.delete(gatewayId);
      log.warn({ event: 'replica:lost', gateway_id: gatewayId }, 'another gateway is gone');
      onChange();
    }
  }

  return {
    id,
    peers: () => [...peers.values()],
    /** What we watch changed. */
    say: () => say('alive'),
    async start(): Promise<void> {
      leave = await cache.subscribe(channel, hear);
      timer = setInterval(beat, intervalMs);
      await say('hello');
    },
    async close(): Promise<void> {
      clearInterval(timer);
      await say('bye');
      await leave?.();
    },
  };
}
