/** What is on its way: downloads from the hub, models into memory. Live where it can be, asked for where it cannot. */
import type { ProgressUpdate } from '@millm/proto/live';
import { asApiError, type ApiError } from '#lib/api/errors.ts';
import type { Download } from '#lib/api/types.ts';
import { progressFrom, progressKey, withUpdate, type Progress } from '#lib/live/progress.ts';

export interface DownloadSource {
  listDownloads: () => Promise<Download[]>;
}

export class Transfers {
  #progress = $state.raw<Progress>(new Map());
  #listed = $state.raw<Download[] | null>(null);
  #error = $state.raw<ApiError | null>(null);
  #isRefreshing = false;
  readonly #source: DownloadSource;

  constructor(source: DownloadSource) {
    this.#source = source;
  }

  /** Every download the server remembers, the newest first, as far as each is now. null = not asked yet. */
  readonly downloads = $derived(this.#listed?.map((download) => this.#current(download)) ?? null);
  readonly running = $derived(this.downloads?.filter(({ state }) => state === 'queued' || state === 'running') ?? []);

  get error(): ApiError | null {
    return this.#error;
  }

  download(id: string | null | undefined): Download | null {
    return this.downloads?.find((download) => download.id === id) ?? null;
  }

  /** How far a model is on its way into memory; null when it is not. */
  load(modelId: string): ProgressUpdate | null {
    const update = this.#progress.get(progressKey({ kind: 'load', id: modelId }));
    return update && !update.is_final ? update : null;
  }

  begin(items: ProgressUpdate[]): void {
    this.#progress = progressFrom(items);
  }

  /** Returns whether something ended or is new: what the server has, has changed. */
  update(update: ProgressUpdate): boolean {
    const before = this.#progress;
    this.#progress = withUpdate(before, update);
    return this.#progress !== before && (update.is_final || !before.has(progressKey(update)));
  }

  async refresh(): Promise<void> {
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    try {
      this.#listed = await this.#source.listDownloads();
      this.#error = null;
    } catch (thrown) {
      this.#error = asApiError(thrown);
    } finally {
      this.#isRefreshing = false;
    }
  }

  #current(download: Download): Download {
    const update = this.#progress.get(progressKey({ kind: 'download', id: download.id }));
    // The list knows endings that no event told (a process that died), so only what still runs takes the event's word.
    if (update?.kind !== 'download' || (download.state !== 'running' && download.state !== 'queued')) return download;
    const { state, bytes_done, bytes_total, bytes_per_second = 0 } = update.download;
    return {
      ...download,
      state,
      bytes_done,
      bytes_total,
      bytes_per_second,
      progress: update.progress ?? download.progress,
    };
  }
}
