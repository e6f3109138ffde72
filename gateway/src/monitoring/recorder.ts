// The last frames in one bounded ring, the requests they belong to, and running statistics. Whoever reads it is only a
// cursor, so a slow reader costs nothing. Pure: it knows neither sockets nor the sidecar.
import type { Frame } from '../inference/feed-contract.ts';
import { matches } from './projection.ts';
import type { Ask } from './projection.ts';
import { runningStatistics } from './statistics.ts';
import type { RunningStatistics, Statistics } from './statistics.ts';

export interface RecordedFrame extends Omit<Frame, 'features'> {
  timestamp: string;
  features: { index: number; value: number; label: string | null }[];
}

export interface RequestSummary {
  request_id: string;
  sae_ids: string[];
  frames: number;
  started_at: string;
  last_at: string;
}

export interface RecorderOptions {
  frameLimit?: number;
  requestLimit?: number;
  now?: () => number;
}

export interface HistoryQuery {
  request_id?: string | undefined;
  sae_id?: string | undefined;
  skip: number;
  limit: number;
}

export type Recorder = ReturnType<typeof createRecorder>;

export function createRecorder({ frameLimit = 10_000, requestLimit = 100, now = Date.now }: RecorderOptions = {}) {
  const ring: RecordedFrame[] = [];
  let limit = frameLimit;
  let seq = 0;
  /** Frames at or below it are gone on purpose. */
  let clearedAt = 0;
  let statistics = new Map<string, RunningStatistics>();
  const requests = new Map<string, RequestSummary>();
  let since = new Date(now()).toISOString();

  const oldest = () => Math.max(clearedAt, seq - limit, 0);
  const slot = (number: number) => number % limit;

  function* newerThan(cursor: number): Generator<RecordedFrame> {
    for (let number = Math.max(cursor, oldest()) + 1; number <= seq; number += 1) {
      const frame = ring[slot(number)];
      if (frame) yield frame;
    }
  }

  function summarise(frame: RecordedFrame): void {
    const known = requests.get(frame.request_id);
    if (known) {
      known.frames += 1;
      known.last_at = frame.timestamp;
      if (!known.sae_ids.includes(frame.sae_id)) known.sae_ids.push(frame.sae_id);
      return;
    }
    requests.set(frame.request_id, {
      request_id: frame.request_id,
      sae_ids: [frame.sae_id],
      frames: 1,
      started_at: frame.timestamp,
      last_at: frame.timestamp,
    });
    const [first] = requests.keys();
    if (requests.size > requestLimit && first !== undefined) requests.delete(first);
  }

  function keep(frame: RecordedFrame): void {
    seq += 1;
    ring[slot(seq)] = frame;
    summarise(frame);
  }

  function find(query: Omit<HistoryQuery, 'skip' | 'limit'>): RecordedFrame[] {
    return [...newerThan(0)].filter(
      (frame) =>
        (query.request_id === undefined || frame.request_id === query.request_id) &&
        (query.sae_id === undefined || frame.sae_id === query.sae_id),
    );
  }

  return {
    seq: () => seq,
    size: () => seq - oldest(),
    limit: () => limit,
    since: () => since,
    /** `isRanked`: whether the strongest features of this SAE were asked for. */
    add(frame: Omit<RecordedFrame, 'timestamp'>, isRanked: boolean): RecordedFrame {
      const recorded = { ...frame, timestamp: new Date(now()).toISOString() };
      keep(recorded);
      let running = statistics.get(frame.sae_id);
      if (!running) statistics.set(frame.sae_id, (running = runningStatistics()));
      running.add(frame.features, isRanked);
      return recorded;
    },
    /** Frames that another process recorded; they were counted there. */
    restore(frames: readonly RecordedFrame[]): void {
      frames.forEach(keep);
    },
    newerThan,
    /** What one subscriber would have seen last, oldest first. */
    recent(ask: Ask, count: number): RecordedFrame[] {
      const found = [...newerThan(0)].filter((frame) => matches(ask, frame));
      return found.slice(-count);
    },
    /** Newest first. */
    history({ skip, limit: count, ...query }: HistoryQuery): { items: RecordedFrame[]; total: number } {
      const found = find(query).reverse();
      return { items: found.slice(skip, skip + count), total: found.length };
    },
    /** Newest first. */
    requests: (): RequestSummary[] => [...requests.values()].reverse(),
    statistics: (saeId: string): Statistics[] => statistics.get(saeId)?.list() ?? [],
    tokens: (saeId: string): number => statistics.get(saeId)?.tokens() ?? 0,
    saeIds: (): string[] => [...statistics.keys()],
    resize(newLimit: number): void {
      const kept = [...newerThan(0)].slice(-newLimit);
      limit = newLimit;
      clearedAt = seq - kept.length;
      ring.length = 0;
      kept.forEach((frame, position) => (ring[slot(seq - kept.length + 1 + position)] = frame));
    },
    clear(): void {
      clearedAt = seq;
      ring.length = 0;
      statistics = new Map();
      requests.clear();
      since = new Date(now()).toISOString();
    },
  };
}
