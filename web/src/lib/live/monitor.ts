/**
 * Watching features live: asks for a subscription, asks again after every reconnection, and passes on a snapshot and then
 * only messages that are newer, of this subscription and no other. Losing the connection makes a screen late, never wrong.
 */
import type {
  MonitorAsk,
  MonitorClientEvents,
  MonitorInfo,
  MonitorMessage,
  MonitorServerEvents,
  MonitorSnapshot,
} from '@millm/proto/live';
import type { Channel } from './channel.ts';

export type MonitorChannel = Channel<MonitorServerEvents, MonitorClientEvents>;

export interface MonitorHandlers {
  /** Everything known so far: replaces whatever was shown. After every (re)connection, change and resumption. */
  onSnapshot: (snapshot: MonitorSnapshot) => void;
  onMessage: (message: MonitorMessage) => void;
  /** What is watched by whom; also when the server pauses. */
  onInfo?: (info: MonitorInfo) => void;
  /** History and statistics were forgotten, by anybody. */
  onCleared?: () => void;
  onError?: (error: { code: string; message: string }) => void;
  onUp?: (isUp: boolean) => void;
}

export interface MonitorWatch {
  /** Watch something else; begins with a fresh snapshot. */
  change: (ask: MonitorAsk) => void;
  pause: () => void;
  resume: () => void;
  clear: () => void;
  close: () => void;
}

export function watchMonitor(channel: MonitorChannel, ask: MonitorAsk, handlers: MonitorHandlers): MonitorWatch {
  let current = ask;
  let subscriptionId: string | null = null;
  /** Counts the askings, so that the answer to an older one is not taken for the newest's. */
  let asked = 0;
  let seq = -1;
  let isPaused = false;
  /** Left after the newest asking. The same ask has the same id, so that its answer may name one of these. */
  const left = new Set<string>();
  const early = new Map<string, MonitorSnapshot>();

  function subscribe(): void {
    const mine = ++asked;
    const old = subscriptionId;
    subscriptionId = null;
    left.clear();
    if (old) channel.send('monitor:unsubscribe', { subscription_id: old });
    channel.send('monitor:subscribe', current, (answer) => {
      if (!answer.success) return mine === asked ? handlers.onError?.(answer.error) : undefined;
      if (mine !== asked || isPaused) {
        left.add(answer.data.subscription_id);
        channel.send('monitor:unsubscribe', { subscription_id: answer.data.subscription_id });
        return undefined;
      }
      if (left.has(answer.data.subscription_id)) return subscribe();
      subscriptionId = answer.data.subscription_id;
      // The snapshot may arrive before the answer that says whose it is.
      const snapshot = early.get(subscriptionId);
      early.clear();
      if (snapshot) begin(snapshot);
      return undefined;
    });
  }

  function begin(snapshot: MonitorSnapshot): void {
    seq = snapshot.seq;
    handlers.onSnapshot(snapshot);
  }

  const leave = channel.join({
    up: () => {
      subscriptionId = null;
      early.clear();
      handlers.onUp?.(true);
      if (!isPaused) subscribe();
    },
    down: () => handlers.onUp?.(false),
    'monitor:snapshot': (snapshot) => {
      if (snapshot.subscription_id === subscriptionId) begin(snapshot);
      else if (subscriptionId === null) early.set(snapshot.subscription_id, snapshot);
    },
    'monitor:activations': (message) => {
      if (message.subscription_id !== subscriptionId || message.seq <= seq) return;
      seq = message.seq;
      handlers.onMessage(message);
    },
    'monitor:state': (info) => handlers.onInfo?.(info),
    'monitor:cleared': (cleared) => {
      if (cleared.seq < seq) return; // an idle stream is cleared at the very count that was last seen
      handlers.onCleared?.();
    },
    'monitor:error': (error) => handlers.onError?.(error),
  });

  return {
    change(next) {
      current = next;
      if (!isPaused) subscribe();
    },
    pause() {
      isPaused = true;
      asked += 1;
      if (subscriptionId) channel.send('monitor:unsubscribe', { subscription_id: subscriptionId });
      subscriptionId = null;
    },
    resume() {
      if (!isPaused) return;
      isPaused = false;
      subscribe();
    },
    clear: () => void channel.send('monitor:clear'),
    close() {
      asked += 1;
      if (subscriptionId) channel.send('monitor:unsubscribe', { subscription_id: subscriptionId });
      subscriptionId = null;
      leave();
    },
  };
}
