// The request log: written in batches after the answers, bounded in memory and in the database, off unless switched on.
import type { Logger } from '../log.ts';
import type { Settings } from '../settings/schemas.ts';
import type { NewRequest, RequestRepository } from './repository.ts';

export interface RecorderOptions {
  requests: RequestRepository;
  settings: () => Promise<Settings>;
  log: Logger;
  flushMs?: number;
  now?: () => number;
}

export type RequestRecorder = ReturnType<typeof requestRecorder>;

const mostWaiting = 1_000;
const dayMs = 86_400_000;
/** Trimming is a scan: it is done once in so many written rows. */
const trimEvery = 500;

export function requestRecorder({ requests, settings, log, flushMs = 1_000, now = Date.now }: RecorderOptions) {
  let waiting: NewRequest[] = [];
  let dropped = 0;
  let sinceTrim = trimEvery;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  async function write(): Promise<void> {
    const rows = waiting;
    waiting = [];
    if (rows.length === 0) return;
    try {
      const { request_log_enabled, request_log_max_rows, request_log_retention_days } = await settings();
      if (!request_log_enabled) return;
      await requests.add(rows);
      sinceTrim += rows.length;
      if (sinceTrim < trimEvery) return;
      sinceTrim = 0;
      await requests.trim(request_log_max_rows, new Date(now() - request_log_retention_days * dayMs));
    } catch (error) {
      log.warn({ event: 'request-log:lost', rows: rows.length, err: error }, 'the request log could not be written');
    }
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    writing = writing.then(write);
    return writing;
  }

  return {
    /** Never waits: an answer is not held back for its line in the log. */
    record(row: NewRequest): void {
      if (waiting.length >= mostWaiting) {
        dropped += 1;
        return;
      }
      waiting.push(row);
      timer ??= setTimeout(() => void flush(), flushMs).unref();
    },
    dropped: () => dropped,
    flush,
    /** Applies a shorter retention at once. */
    async trim(): Promise<void> {
      const { request_log_max_rows, request_log_retention_days } = await settings();
      await requests.trim(request_log_max_rows, new Date(now() - request_log_retention_days * dayMs));
    },
    close: flush,
  };
}
