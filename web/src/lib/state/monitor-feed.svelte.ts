/** What one page sees of the tokens that stream by: the newest of them, what was lost, and running statistics. */
import type { FeatureStatistics, LabelledValue, LiveFrame, MonitorAsk, MonitorInfo } from '@millm/proto/live';
import { ApiError } from '#lib/api/errors.ts';
import type { StatisticsQuery } from '#lib/api/monitoring.ts';
import type { Monitor, MonitorStatistics } from '#lib/api/types.ts';
import { watchMonitor, type MonitorChannel, type MonitorWatch } from '#lib/live/monitor.ts';

/** Rows kept at most; beyond it the oldest go, a block at a time, so that a list is not shifted at every token. */
export const KEPT_ROWS = 4_000;
const BLOCK = 1_000;
/** Statistics and requests are asked for again at most this often, and only while tokens arrive. */
const REFRESH_MS = 1_000;
const STATISTICS_SHOWN = 12;

export type StatisticsOrder = NonNullable<StatisticsQuery['sort']>;

export interface MonitorSource {
  getMonitor: () => Promise<Monitor>;
  getStatistics: (query: StatisticsQuery) => Promise<MonitorStatistics>;
}

export interface TokenRow {
  /** Rises by one with each row of this page. */
  id: number;
  frame: LiveFrame;
  /** The strongest feature at this token; null where none of those watched fired. */
  top: LabelledValue | null;
  /** Another request, or another of its choices, begins here. */
  isFirst: boolean;
}

type Schedule = (flush: () => void) => void;

/** With an animation frame, but only so often: the frames between two drawings are free for scrolling. */
const PAUSE_MS = 100;

function drawCalmly(): Schedule {
  let last = -PAUSE_MS;
  return (flush) => {
    const draw = () =>
      requestAnimationFrame(() => {
        last = performance.now();
        flush();
      });
    const wait = last + PAUSE_MS - performance.now();
    if (wait > 0) setTimeout(draw, wait);
    else draw();
  };
}

export class MonitorFeed {
  #rows = $state.raw<readonly TokenRow[]>([]);
  #statistics = $state.raw<readonly FeatureStatistics[]>([]);
  #tokens = $state(0);
  #requests = $state.raw<Monitor['requests']>([]);
  #info = $state.raw<MonitorInfo | null>(null);
  #error = $state.raw<ApiError | null>(null);
  #dropped = $state(0);
  #droppedUpstream = $state(0);
  #peak = $state(0);
  #isPaused = $state(false);
  #isUp = $state(false);
  #order = $state<StatisticsOrder>('mean');

  #ask: MonitorAsk = {};
  #watch: MonitorWatch | null = null;
  #pending: LiveFrame[] = [];
  #flushIsDue = false;
  #nextId = 0;
  /** Lost in earlier subscriptions of this page: each counts from zero. */
  #droppedBefore = 0;
  #droppedNow = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asked = 0;
  readonly #channel: MonitorChannel;
  readonly #source: MonitorSource;
  readonly #schedule: Schedule;

  constructor(channel: MonitorChannel, source: MonitorSource, schedule: Schedule = drawCalmly()) {
    this.#channel = channel;
    this.#source = source;
    this.#schedule = schedule;
  }

  get rows(): readonly TokenRow[] {
    return this.#rows;
  }
  get statistics(): readonly FeatureStatistics[] {
    return this.#statistics;
  }
  /** Tokens behind the statistics. */
  get tokens(): number {
    return this.#tokens;
  }
  get requests(): Monitor['requests'] {
    return this.#requests;
  }
  get info(): MonitorInfo | null {
    return this.#info;
  }
  get error(): ApiError | null {
    return this.#error;
  }
  /** Tokens that this page lost since it was opened, because it read too slowly. */
  get dropped(): number {
    return this.#dropped;
  }
  /** Tokens that nobody got since the server started. */
  get droppedUpstream(): number {
    return this.#droppedUpstream;
  }
  /** The highest activation seen: the full end of every bar. */
  get peak(): number {
    return this.#peak;
  }
  get isPaused(): boolean {
    return this.#isPaused;
  }
  get isUp(): boolean {
    return this.#isUp;
  }
  get order(): StatisticsOrder {
    return this.#order;
  }

  /** Watch this from now on; begins with what the server still knows. */
  watch(ask: MonitorAsk): void {
    this.#ask = ask;
    this.#forgetRows();
    this.#error = null;
    this.#peak = 0;
    if (this.#watch) return this.#watch.change(ask);
    this.#watch = watchMonitor(this.#channel, ask, {
      onSnapshot: ({ frames, statistics, tokens }) => {
        this.#forgetRows();
        this.#error = null;
        this.#droppedBefore += this.#droppedNow;
        this.#droppedNow = 0;
        this.#tokens = tokens;
        this.#append(frames);
        this.#take(statistics);
        void this.refresh();
      },
      onMessage: ({ frames, dropped, dropped_upstream }) => {
        this.#droppedNow = dropped;
        this.#droppedUpstream = dropped_upstream;
        for (const frame of frames) this.#pending.push(frame);
        // A page in the background is not drawn: what waits for it stays bounded too.
        if (this.#pending.length > KEPT_ROWS) this.#pending.splice(0, this.#pending.length - KEPT_ROWS);
        this.#flushSoon();
      },
      onInfo: (info) => {
        this.#info = info;
        this.#droppedUpstream = info.dropped_upstream;
      },
      onCleared: () => {
        this.#asked += 1; // an answer from before the clearing would bring it all back
        this.#forgetRows();
        this.#statistics = [];
        this.#requests = [];
        this.#tokens = 0;
        this.#peak = 0;
      },
      onError: ({ code, message }) => (this.#error = new ApiError(code, message)),
      onUp: (isUp) => (this.#isUp = isUp),
    });
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#flush();
    this.#isPaused = true;
    this.#watch?.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#watch?.resume();
  }

  /** Forget history and statistics, for everybody who watches. */
  clear(): void {
    this.#watch?.clear();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.#watch?.close();
    this.#watch = null;
    this.#forgetRows();
  }

  sortBy(order: StatisticsOrder): void {
    this.#order = order;
    void this.refresh();
  }

  /** Statistics and requests as the server has them now; keeps the last known where it does not answer. */
  async refresh(): Promise<void> {
    const mine = ++this.#asked;
    const { sae_id, features } = this.#ask;
    const chosen = features?.length ? features : null;
    const [statistics, monitor] = await Promise.allSettled([
      this.#source.getStatistics({
        ...(sae_id && { sae_id }),
        ...(chosen && { features: chosen.join(',') }),
        sort: this.#order,
        limit: chosen ? chosen.length : STATISTICS_SHOWN,
      }),
      this.#source.getMonitor(),
    ]);
    if (mine !== this.#asked) return;
    if (statistics.status === 'fulfilled') {
      this.#tokens = statistics.value.total_activations;
      this.#take(statistics.value.features);
    }
    if (monitor.status === 'fulfilled') {
      const { requests, ...info } = monitor.value;
      this.#requests = requests;
      this.#info = info;
      this.#droppedUpstream = info.dropped_upstream;
    }
  }

  #take(statistics: readonly FeatureStatistics[]): void {
    const chosen = this.#ask.features ?? [];
    // Those that were chosen stay in the order of choosing, however their numbers change.
    const place = ({ feature_idx }: FeatureStatistics) => chosen.indexOf(feature_idx);
    this.#statistics =
      chosen.length > 0
        ? statistics.filter((item) => place(item) >= 0).sort((a, b) => place(a) - place(b))
        : statistics.slice(0, STATISTICS_SHOWN);
  }

  #forgetRows(): void {
    this.#pending = [];
    this.#rows = [];
  }

  #flushSoon(): void {
    if (this.#flushIsDue) return;
    this.#flushIsDue = true;
    this.#schedule(() => {
      this.#flushIsDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    const frames = this.#pending;
    this.#pending = [];
    this.#dropped = this.#droppedBefore + this.#droppedNow;
    if (frames.length === 0) return;
    this.#append(frames);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.refresh();
    }, REFRESH_MS);
  }

  #append(frames: readonly LiveFrame[]): void {
    let previous = this.#rows.at(-1)?.frame;
    let peak = this.#peak;
    const rows = [...this.#rows];
    for (const frame of frames) {
      const top = strongest(frame.features);
      const isFirst = previous?.request_id !== frame.request_id || previous.choice !== frame.choice;
      rows.push({ id: this.#nextId++, frame, top, isFirst });
      if (top && top.value > peak) peak = top.value;
      previous = frame;
    }
    this.#peak = peak;
    this.#rows = rows.length > KEPT_ROWS ? rows.slice(rows.length - KEPT_ROWS + BLOCK) : rows;
  }
}

function strongest(features: readonly LabelledValue[]): LabelledValue | null {
  let top: LabelledValue | null = null;
  for (const feature of features) if (feature.value > (top?.value ?? 0)) top = feature;
  return top;
}

/** A feature's value at each of these tokens; null where the token does not tell, because it was not among the strongest. */
export function seriesOf(rows: readonly TokenRow[], index: number): (number | null)[] {
  return rows.map(({ frame }) => frame.features.find((feature) => feature.index === index)?.value ?? null);
}
