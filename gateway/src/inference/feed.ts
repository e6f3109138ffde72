// The one subscriber to what happens in the sidecar. It resumes where it was cut, and says when it hears nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { InferenceClient } from './client.ts';
import type { RuntimeState } from './contract.ts';
import type { Download, FeedEvent, FeedEventOf } from './feed-contract.ts';

/** What came after `afterSeq` in the life of one sidecar process. */
export interface FeedCursor {
  instanceId: string;
  afterSeq: number;
}

/** `lost`: nothing is heard until the next snapshot, or until what was missed has been sent. */
export type FeedNews = FeedEvent | { type: 'lost' } | { type: 'resumed' };
export type FeedListener = (news: FeedNews) => void;

export interface FeedOptions {
  client: Pick<InferenceClient, 'feed'>;
  log: Logger;
  firstRetryMs?: number;
  lastRetryMs?: number;
}

export type Feed = ReturnType<typeof createFeed>;

export function createFeed({ client, log, firstRetryMs = 200, lastRetryMs = 5_000 }: FeedOptions) {
  const listeners = new Set<FeedListener>();
  const stop = new AbortController();
  const downloads = new Map<string, Download>();
  let cursor: FeedCursor | null = null;
  let state: RuntimeState | null = null;
  let metrics: FeedEventOf<'metrics'> | null = null;
  let load: FeedEventOf<'load'> | null = null;
  let isConnected = false;
  let isLossSaid = false;
  let running: Promise<void> | null = null;

  function tell(news: FeedNews): void {
    for (const listener of listeners) {
      try {
        listener(news);
      } catch (error) {
        log.error({ event: 'feed:listener-failed', news: news.type, err: error }, 'a listener of the feed failed');
      }
    }
  }

  function accept(event: FeedEvent): void {
    if (event.type === 'snapshot') {
      const isSameProcess = cursor?.instanceId === event.state.instance_id;
      cursor = { instanceId: event.state.instance_id, afterSeq: event.seq };
      downloads.clear();
      for (const download of event.downloads) downloads.set(download.download_id, download);
      if (!isSameProcess) load = null;
      state = event.state;
      log.debug({ event: 'feed:snapshot', ...cursor }, 'the feed starts from a snapshot');
    } else {
      if (cursor === null || event.seq <= cursor.afterSeq) return;
      cursor = { ...cursor, afterSeq: event.seq };
      if (event.type === 'state') state = event.state;
      else if (event.type === 'download') downloads.set(event.download.download_id, event.download);
      else if (event.type === 'load') load = event;
      else if (event.type === 'metrics') metrics = event;
    }
    tell(event);
  }

  async function listen(): Promise<void> {
    const events = await client.feed(cursor, { signal: stop.signal });
    for await (const event of events) {
      if (!isConnected) {
        isConnected = true;
        log.info({ event: 'feed:connected', resumed: event.type !== 'snapshot' }, 'listening to the sidecar');
        if (event.type !== 'snapshot') tell({ type: 'resumed' });
      }
      isLossSaid = false;
      accept(event);
    }
    throw new Error('The sidecar ended the feed.');
  }

  async function run(): Promise<void> {
    let delay = firstRetryMs;
    while (!stop.signal.aborted) {
      try {
        await listen();
      } catch (error) {
        if (stop.signal.aborted) return;
        if (isConnected) delay = firstRetryMs;
        // What could not be understood would come again: start from a snapshot instead.
        if (error instanceof AppError && error.code === 'INTERNAL_ERROR') cursor = null;
        lose(error);
      }
      await sleep(delay * (0.75 + Math.random() / 2), undefined, { signal: stop.signal }).catch(() => undefined);
      delay = Math.min(delay * 2, lastRetryMs);
    }
  }

  function lose(error: unknown): void {
    if (!isLossSaid) {
      isLossSaid = true;
      log.warn({ event: 'feed:lost', err: error }, 'not listening to the sidecar; trying again');
    }
    if (!isConnected) return;
    isConnected = false;
    tell({ type: 'lost' });
  }

  return {
    isConnected: () => isConnected,
    instanceId: () => cursor?.instanceId ?? null,
    seq: () => cursor?.afterSeq ?? 0,
    /** The last known, while it is heard from. */
    state: () => (isConnected ? state : null),
    metrics: () => (isConnected ? metrics : null),
    load: () => load,
    downloads: () => [...downloads.values()],
    on(listener: FeedListener): () => void {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    start(): void {
      running ??= run();
    },
    async close(): Promise<void> {
      stop.abort();
      await running;
    },
  };
}
