/** Is the gateway there? Polls health, backs off when it is not, and says so. Knows nothing of models or SAEs. */
import { ApiError } from '#lib/api/errors.ts';
import type { Health } from '#lib/api/types.ts';

export type ConnectionPhase = 'connecting' | 'online' | 'degraded' | 'reconnecting' | 'offline';

const POLL_MS = 5_000;
const BACKOFF_MS = [1_000, 2_000, 4_000, 5_000];
const FAILURES_UNTIL_OFFLINE = 3;
const HEALTHY = new Set(['ok', 'healthy', 'ready']);

export interface ConnectionOptions {
  getHealth: () => Promise<Health>;
  /** Called after every answer of the gateway: the moment to refresh what it knows. */
  onPulse?: () => void;
}

export class Connection {
  #phase = $state<ConnectionPhase>('connecting');
  #health = $state.raw<Health | null>(null);
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isRunning = false;
  #isPolling = false;
  readonly #options: ConnectionOptions;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  get phase(): ConnectionPhase {
    return this.#phase;
  }
  get health(): Health | null {
    return this.#health;
  }
  get isReachable(): boolean {
    return this.#phase === 'online' || this.#phase === 'degraded';
  }

  /** What the page shows is the last it knew. */
  get isStale(): boolean {
    return this.#phase === 'reconnecting' || this.#phase === 'offline';
  }

  /** Starts polling; returns the function that stops it. */
  start(): () => void {
    this.#isRunning = true;
    const wake = () => void this.poll();
    const onVisible = () => document.visibilityState === 'visible' && wake();
    addEventListener('online', wake);
    addEventListener('offline', wake);
    document.addEventListener('visibilitychange', onVisible);
    wake();
    return () => {
      this.#isRunning = false;
      clearTimeout(this.#timer);
      removeEventListener('online', wake);
      removeEventListener('offline', wake);
      document.removeEventListener('visibilitychange', onVisible);
    };
  }

  async poll(): Promise<void> {
    if (this.#isPolling) return;
    this.#isPolling = true;
    clearTimeout(this.#timer);
    try {
      this.#succeed(await this.#options.getHealth());
    } catch (thrown) {
      // An HTTP answer, even a bad one, proves that the gateway is there.
      const answered = thrown instanceof ApiError && thrown.status > 0 && thrown.code !== 'NETWORK_ERROR';
      if (answered) this.#succeed({ status: 'degraded' });
      else this.#fail();
    } finally {
      this.#isPolling = false;
      if (this.#isRunning) this.#timer = setTimeout(() => void this.#pollWhenVisible(), this.#delay());
    }
  }

  #pollWhenVisible(): Promise<void> | undefined {
    // A hidden page of a healthy server asks nothing; visibilitychange wakes it.
    if (document.visibilityState === 'hidden' && this.#failures === 0) return undefined;
    return this.poll();
  }

  #succeed(health: Health): void {
    this.#failures = 0;
    this.#health = health;
    this.#phase = HEALTHY.has(health.status) ? 'online' : 'degraded';
    this.#options.onPulse?.();
  }

  #fail(): void {
    this.#failures += 1;
    if (this.#failures >= FAILURES_UNTIL_OFFLINE) this.#phase = 'offline';
    else if (this.#phase !== 'connecting') this.#phase = 'reconnecting';
  }

  #delay(): number {
    if (this.#failures === 0) return POLL_MS;
    return BACKOFF_MS[Math.min(this.#failures, BACKOFF_MS.length) - 1] ?? POLL_MS;
  }
}
