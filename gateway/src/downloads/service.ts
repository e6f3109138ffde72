// Downloads: one per thing, run by the sidecar, remembered here. Only changes of state are written.
import { AppError, toAppError } from '../errors.ts';
import type { InferenceClient } from '../inference/client.ts';
import type { Schemas } from '../inference/contract.ts';
import type { Logger } from '../log.ts';
import { advance, interrupt, isRunning, newProgress } from './progress.ts';
import type { Change, Progress } from './progress.ts';
import type { DownloadRepository, DownloadRow, Wanted } from './repository.ts';

export interface DownloadServiceOptions {
  downloads: DownloadRepository;
  client: Pick<InferenceClient, 'listDownloads' | 'startDownload' | 'cancelDownload'>;
  log: Logger;
  instanceId: () => string | null;
  pollMs?: number;
}

export interface DownloadView {
  row: DownloadRow;
  progress: Progress;
}

type DoneListener = (row: DownloadRow, progress: Progress) => Promise<void>;
type ChangeListener = (id: string, progress: Progress, change: Change) => void;

export type DownloadService = ReturnType<typeof downloadService>;

export function downloadService({ downloads, client, log, instanceId, pollMs = 1_000 }: DownloadServiceOptions) {
  const known = new Map<string, Progress>();
  /** When a start was answered: a list that was asked for earlier cannot know of it. */
  const startedAt = new Map<string, number>();
  const doneListeners = new Set<DoneListener>();
  const changeListeners = new Set<ChangeListener>();
  /** Complete, but not yet read by those who wait for it. */
  const unfinished = new Set<string>();
  const queues = new Map<string, Promise<void>>();
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  async function load(): Promise<void> {
    for (const row of await downloads.list()) if (!known.has(row.id)) known.set(row.id, fromRow(row));
  }

  /** Events of one download are taken one after the other, whoever brings them. */
  function inTurn(id: string, action: () => Promise<void>): Promise<void> {
    const turn = (queues.get(id) ?? Promise.resolve()).then(action, action);
    queues.set(id, turn);
    void turn.catch(() => undefined).finally(() => queues.get(id) === turn && queues.delete(id));
    return turn;
  }

  async function take(id: string, step: (current: Progress) => { next: Progress; change: Change }): Promise<void> {
    const current = known.get(id);
    if (!current) return;
    const { next, change } = step(current);
    if (change === 'none') return;
    known.set(id, next);
    // Where it lies is written too: what is there of it can be freed, whoever dies meanwhile.
    if (change === 'state' || next.localPath !== current.localPath) await downloads.record(id, next);
    if (change === 'state') {
      log.info({ event: `download:${next.state}`, download_id: id, code: next.error?.code }, `download ${next.state}`);
    }
    changeListeners.forEach((tell) => tell(id, next, change));
    if (change === 'state' && next.state === 'done') await finish(id, next);
  }

  async function finish(id: string, progress: Progress): Promise<void> {
    unfinished.add(id);
    try {
      const row = await downloads.find(id);
      if (row) for (const listener of doneListeners) await listener(row, progress);
      unfinished.delete(id);
    } catch (error) {
      log.warn(
        { event: 'download:unfinished', download_id: id, err: error },
        'a complete download could not be read yet',
      );
    }
  }

  const apply = (event: Schemas['DownloadState'], from = instanceId()) =>
    inTurn(event.download_id, () => take(event.download_id, (current) => advance(current, event, from)));

  /** The whole list of a sidecar: what it does not know any more was interrupted. */
  async function reconcile(
    list: readonly Schemas['DownloadState'][],
    from = instanceId(),
    askedAt = performance.now(),
  ) {
    await Promise.all(list.map((event) => apply(event, from)));
    const listed = new Set(list.map((event) => event.download_id));
    const lost = [...known].filter(
      ([id, { state }]) => isRunning(state) && !listed.has(id) && (startedAt.get(id) ?? -Infinity) < askedAt,
    );
    await Promise.all(lost.map(([id]) => inTurn(id, () => take(id, interrupt))));
  }

  async function poll(): Promise<void> {
    try {
      await load();
      const askedAt = performance.now();
      await reconcile(await client.listDownloads(), instanceId(), askedAt);
      for (const id of unfinished) {
        const progress = known.get(id);
        if (progress?.state === 'done') await finish(id, progress);
        else unfinished.delete(id);
      }
    } catch (error) {
      log.debug({ event: 'downloads:unknown', err: error }, 'the list of downloads could not be read');
    }
  }

  function watch(): void {
    clearTimeout(timer);
    const isAnyRunning = [...known.values()].some(({ state }) => isRunning(state));
    if (isClosed || (!isAnyRunning && unfinished.size === 0)) return;
    timer = setTimeout(() => void poll().finally(watch), pollMs);
    timer.unref();
  }

  async function begin(row: DownloadRow, token: string | null): Promise<void> {
    startedAt.set(row.id, Infinity);
    try {
      const { id: download_id, repoId: repo_id, revision, path } = row;
      const kind = row.kind as Wanted['kind'];
      const event = await client.startDownload({ download_id, kind, repo_id, revision, path, hf_token: token });
      known.set(row.id, { ...newProgress, state: 'interrupted', localPath: known.get(row.id)?.localPath ?? null });
      await apply(event);
    } catch (thrown) {
      const { code, message } = toAppError(thrown);
      const localPath = known.get(row.id)?.localPath ?? null;
      const failed: Progress = { ...newProgress, state: 'failed', localPath, error: { code, message } };
      known.set(row.id, failed);
      await downloads.record(row.id, failed);
      throw thrown;
    } finally {
      startedAt.set(row.id, performance.now());
      watch();
    }
  }

  async function require(id: string): Promise<DownloadView> {
    const row = await downloads.find(id);
    if (!row) throw new AppError('NOT_FOUND', `There is no download "${id}".`);
    return { row, progress: known.get(id) ?? fromRow(row) };
  }

  return {
    apply,
    reconcile,
    poll,
    peek: (id: string | null) => (id === null ? null : (known.get(id) ?? null)),
    onDone: (listener: DoneListener) => void doneListeners.add(listener),
    onChange: (listener: ChangeListener) => {
      changeListeners.add(listener);
      return () => void changeListeners.delete(listener);
    },
    get: require,

    async list(): Promise<DownloadView[]> {
      const rows = await downloads.list();
      return rows.map((row) => ({ row, progress: known.get(row.id) ?? fromRow(row) }));
    },

    /** The row of what is wanted; `start` makes it run. */
    async ensure(wanted: Wanted): Promise<DownloadView & { isNew: boolean }> {
      const { row, isNew } = await downloads.ensure(wanted);
      if (!known.has(row.id)) known.set(row.id, fromRow(row));
      return { row, isNew, progress: known.get(row.id) ?? newProgress };
    },

    /** Starts or resumes it; running already is fine. */
    async start(row: DownloadRow, token: string | null): Promise<void> {
      const current = known.get(row.id);
      if (current && current.seq >= 0 && isRunning(current.state)) return;
      await begin(row, token);
    },

    async cancel(id: string): Promise<DownloadView> {
      const { row, progress } = await require(id);
      if (!isRunning(progress.state)) {
        throw new AppError('CONFLICT', `The download of "${row.repoId}" is not running; it is ${progress.state}.`);
      }
      await apply(await client.cancelDownload(id));
      watch();
      return require(id);
    },

    /** Stops it for good; where it lies on the disk, whole or in part, or null where nothing can be there. */
    async stop(id: string | null): Promise<string | null> {
      const progress = id === null ? null : (known.get(id) ?? null);
      if (id === null || progress === null) return null;
      if (!isRunning(progress.state)) return progress.localPath;
      await apply(await client.cancelDownload(id));
      return known.get(id)?.localPath ?? null;
    },

    async retry(id: string, token: string | null): Promise<DownloadView> {
      const { row, progress } = await require(id);
      if (isRunning(progress.state)) throw new AppError('CONFLICT', `The download of "${row.repoId}" is running.`);
      if (progress.state === 'done') throw new AppError('CONFLICT', `The download of "${row.repoId}" is complete.`);
      await begin(row, token);
      return require(id);
    },

    async forget(id: string): Promise<void> {
      known.delete(id);
      await downloads.remove(id);
    },

    /** After a start of ours: take up what runs, and finish what was complete when we died. */
    async resume(): Promise<void> {
      await load();
      for (const [id, progress] of known) if (progress.state === 'done') await finish(id, progress);
      if ([...known.values()].some(({ state }) => isRunning(state))) await poll();
      watch();
    },

    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

function fromRow(row: DownloadRow): Progress {
  return {
    ...newProgress,
    state: row.state as Progress['state'],
    bytesDone: Number(row.bytesDone),
    bytesTotal: Number(row.bytesTotal ?? 0),
    revision: row.revision,
    localPath: row.localPath,
    error: row.error === null ? null : { code: row.errorCode ?? 'DOWNLOAD_FAILED', message: row.error },
  };
}
