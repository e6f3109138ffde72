// Frames → messages: at most one per interval and subscriber, holding every token since its last. A subscriber is a cursor
// into the recorder's ring: one that does not read costs nothing, and is told how many tokens it lost.
import type { MonitorMessage } from '@millm/proto/live';
import { matches, project, subscriptionId } from './projection.ts';
import type { Ask } from './projection.ts';
import type { RecordedFrame, Recorder } from './recorder.ts';

export interface Receiver {
  id: string;
  /** False while the last message is still on its way. */
  isReady: () => boolean;
}

interface Subscriber {
  receiver: Receiver;
  cursor: number;
  /** Frames for its ask, ever, when it was last sent something. */
  seen: number;
  dropped: number;
}

interface Group {
  ask: Ask;
  /** Frames for this ask, ever. */
  matched: number;
  subscribers: Map<string, Subscriber>;
}

export interface DeliveryOptions {
  recorder: Recorder;
  intervalMs: number;
  /** Most tokens one message holds; older ones are dropped and counted. */
  backlogLimit?: number;
  droppedUpstream: () => number;
  /** The same message to every one of them. */
  send: (receivers: readonly string[], message: MonitorMessage) => void;
}

export type Delivery = ReturnType<typeof createDelivery>;

export function createDelivery({ recorder, intervalMs, backlogLimit = 4_000, droppedUpstream, send }: DeliveryOptions) {
  const groups = new Map<string, Group>();
  let timer: NodeJS.Timeout | undefined;
  let flushedAt = -Infinity;

  function schedule(): void {
    if (timer !== undefined || groups.size === 0) return;
    timer = setTimeout(flush, Math.max(0, Math.ceil(flushedAt + intervalMs - performance.now())));
  }

  function flush(): void {
    timer = undefined;
    flushedAt = performance.now();
    let isBehind = false;
    for (const [id, group] of groups) if (!flushGroup(id, group)) isBehind = true;
    if (isBehind) schedule();
  }

  /** False when somebody could not be sent what there is for them. */
  function flushGroup(id: string, group: Group): boolean {
    const head = recorder.seq();
    const messages = new Map<string, { message: MonitorMessage; receivers: string[] }>();
    let isDone = true;
    for (const subscriber of group.subscribers.values()) {
      const pending = group.matched - subscriber.seen;
      if (pending === 0) {
        subscriber.cursor = head;
        continue;
      }
      if (!subscriber.receiver.isReady()) {
        isDone = false;
        continue;
      }
      // Those who stand at the same place, and lost as much, get the same message.
      const key = `${subscriber.cursor}:${pending}:${subscriber.dropped}`;
      let shared = messages.get(key);
      if (!shared) {
        const frames = framesFor(group.ask, subscriber.cursor);
        const dropped = subscriber.dropped + pending - frames.length;
        const message = { subscription_id: id, seq: head, frames, dropped, dropped_upstream: droppedUpstream() };
        messages.set(key, (shared = { message, receivers: [] }));
      }
      shared.receivers.push(subscriber.receiver.id);
      subscriber.cursor = head;
      subscriber.seen = group.matched;
      subscriber.dropped = shared.message.dropped;
    }
    for (const { message, receivers } of messages.values()) send(receivers, message);
    return isDone;
  }

  function framesFor(ask: Ask, cursor: number): RecordedFrame[] {
    const found: RecordedFrame[] = [];
    for (const frame of recorder.newerThan(cursor)) if (matches(ask, frame)) found.push(frame);
    return found.slice(-backlogLimit).map((frame) => ({ ...frame, features: project(ask, frame.features) }));
  }

  return {
    /** Frames were recorded. */
    notify(frames: readonly RecordedFrame[]): void {
      if (groups.size === 0) return;
      for (const group of groups.values()) {
        for (const frame of frames) if (matches(group.ask, frame)) group.matched += 1;
      }
      schedule();
    },
    /** From now on; what came before belongs to the snapshot. Again by the same receiver: it starts anew. */
    subscribe(ask: Ask, receiver: Receiver): string {
      const id = subscriptionId(ask);
      let group = groups.get(id);
      if (!group) groups.set(id, (group = { ask, matched: 0, subscribers: new Map() }));
      group.subscribers.set(receiver.id, { receiver, cursor: recorder.seq(), seen: group.matched, dropped: 0 });
      return id;
    },
    unsubscribe(id: string, receiverId: string): void {
      const group = groups.get(id);
      group?.subscribers.delete(receiverId);
      if (group?.subscribers.size === 0) groups.delete(id);
    },
    /** What was kept is gone on purpose: nobody lost it. */
    reset(): void {
      for (const group of groups.values()) {
        for (const subscriber of group.subscribers.values()) {
          subscriber.cursor = recorder.seq();
          subscriber.seen = group.matched;
        }
      }
    },
    close(): void {
      clearTimeout(timer);
      groups.clear();
    },
  };
}
