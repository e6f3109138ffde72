/** The last minutes of the engine, one sample for each time the server told of it. */
import type { SystemMetrics } from '@millm/proto/live';

export interface Sample {
  /** Milliseconds since 1970. */
  at: number;
  tokensPerSecond: number;
  running: number;
  waiting: number;
  usedBytes: number;
}

/** Five minutes at one sample every two seconds. */
const KEPT = 150;

export class Metrics {
  #samples = $state.raw<readonly Sample[]>([]);
  #latest = $state.raw<SystemMetrics | null>(null);

  get samples(): readonly Sample[] {
    return this.#samples;
  }
  get latest(): SystemMetrics | null {
    return this.#latest;
  }

  record(metrics: SystemMetrics): void {
    const at = Date.parse(metrics.timestamp);
    const last = this.#samples.at(-1);
    if (last && at <= last.at) return; // told twice, after a reconnection
    const { queue, memory } = metrics;
    const sample: Sample = {
      at,
      tokensPerSecond: queue.tokens_per_second ?? 0,
      running: queue.running,
      waiting: queue.waiting,
      usedBytes: memory.used_bytes,
    };
    this.#latest = metrics;
    this.#samples = [...this.#samples, sample].slice(-KEPT);
  }
}
