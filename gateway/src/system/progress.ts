// Downloads and loads → progress, at most four updates a second for each; the last state of each is kept for who comes late,
// and a final one is never held back.
import type { LoadStage, ProgressUpdate } from '@millm/proto/live';
import type { Download, FeedEventOf } from '../inference/feed-contract.ts';

export interface ProgressOptions {
  send: (update: ProgressUpdate) => void;
  intervalMs?: number;
}

interface Track {
  latest: ProgressUpdate;
  sentAt: number;
  timer: NodeJS.Timeout | undefined;
}

export type Progress = ReturnType<typeof createProgress>;

const loadProgress: Record<LoadStage, number> = { unloading: 0, reading: 10, verifying: 90, ready: 100, failed: 100 };
const keptFinal = 50;

export function createProgress({ send, intervalMs = 250 }: ProgressOptions) {
  const tracks = new Map<string, Track>();

  function offer(update: ProgressUpdate): void {
    const key = `${update.kind}:${update.id}`;
    const track = tracks.get(key);
    if (track && update.seq <= track.latest.seq) return;
    const isNew = track?.latest.state !== update.state || update.is_final;
    const next = track ?? { latest: update, sentAt: -Infinity, timer: undefined };
    next.latest = update;
    tracks.delete(key);
    tracks.set(key, next); // the latest last
    if (isNew) return now(next);
    next.timer ??= setTimeout(() => now(next), Math.max(0, next.sentAt + intervalMs - performance.now()));
  }

  function now(track: Track): void {
    clearTimeout(track.timer);
    track.timer = undefined;
    track.sentAt = performance.now();
    send(track.latest);
    prune();
  }

  function prune(): void {
    const final = [...tracks].filter(([, { latest }]) => latest.is_final);
    for (const [key] of final.slice(0, -keptFinal)) tracks.delete(key);
  }

  return {
    download: (download: Download) => offer(ofDownload(download)),
    load: (event: FeedEventOf<'load'>) => offer(ofLoad(event)),
    /** The sidecar counts from the start again. */
    restart(downloads: readonly Download[]): void {
      for (const [key, track] of tracks) {
        clearTimeout(track.timer);
        if (!track.latest.is_final) tracks.delete(key);
        else track.latest = { ...track.latest, seq: 0 };
      }
      downloads.forEach((download) => offer(ofDownload(download)));
    },
    all: (): ProgressUpdate[] => [...tracks.values()].map(({ latest }) => latest),
    close(): void {
      for (const { timer } of tracks.values()) clearTimeout(timer);
    },
  };
}

export function ofDownload(download: Download): ProgressUpdate {
  const { bytes_done, bytes_total, state } = download;
  const share = bytes_total > 0 ? Math.min(100, Math.round((1000 * bytes_done) / bytes_total) / 10) : null;
  return {
    kind: 'download',
    id: download.download_id,
    state,
    progress: state === 'done' ? 100 : share,
    is_final: state === 'done' || state === 'failed' || state === 'cancelled',
    message: download.error?.message ?? null,
    seq: download.seq,
    download,
  };
}

export function ofLoad({ model_id, stage, message, seq }: FeedEventOf<'load'>): ProgressUpdate {
  return {
    kind: 'load',
    id: model_id,
    state: stage,
    progress: loadProgress[stage],
    is_final: stage === 'ready' || stage === 'failed',
    message,
    seq,
  };
}

export const loadPercent = (stage: LoadStage) => loadProgress[stage];
