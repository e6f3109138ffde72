// What is known of one download, and how an event changes it. Pure: whoever hears events (a poll, a feed) drives it.
import type { Schemas } from '../inference/contract.ts';

/** The sidecar's states, and `interrupted`: it was running in a sidecar that is gone, and can be resumed. */
export type DownloadPhase = Schemas['DownloadState']['state'] | 'interrupted';

export interface Progress {
  state: DownloadPhase;
  bytesDone: number;
  bytesTotal: number;
  bytesPerSecond: number;
  revision: string | null;
  localPath: string | null;
  error: { code: string; message: string } | null;
  seq: number;
  /** The sidecar process that said so; its `seq` means nothing in another. */
  instanceId: string | null;
}

/** `state` is stored, `progress` is only shown, `none` is old news. */
export type Change = 'none' | 'progress' | 'state';

export const isRunning = (state: DownloadPhase) => state === 'queued' || state === 'running';
/** Still on its way into the catalogue: what is complete is read before it is used. */
export const isComing = (state: DownloadPhase) => isRunning(state) || state === 'done';
export const isOver = (state: DownloadPhase) => !isRunning(state);

export const newProgress: Progress = {
  state: 'queued',
  bytesDone: 0,
  bytesTotal: 0,
  bytesPerSecond: 0,
  revision: null,
  localPath: null,
  error: null,
  seq: -1,
  instanceId: null,
};

export function advance(
  current: Progress,
  event: Schemas['DownloadState'],
  instanceId: string | null,
): { next: Progress; change: Change } {
  if (current.instanceId === instanceId && event.seq <= current.seq) return { next: current, change: 'none' };
  // What is complete stays so until somebody starts it again.
  const isUndone = current.state === 'done' && (event.state === 'failed' || event.state === 'cancelled');
  if (isUndone) return { next: current, change: 'none' };
  const next: Progress = {
    state: event.state,
    bytesDone: event.bytes_done,
    bytesTotal: event.bytes_total,
    bytesPerSecond: event.bytes_per_second ?? 0,
    revision: event.revision ?? current.revision,
    localPath: event.local_path ?? current.localPath,
    error: event.error ? { code: event.error.code, message: event.error.message } : null,
    seq: event.seq,
    instanceId,
  };
  return { next, change: next.state === current.state ? 'progress' : 'state' };
}

/** The sidecar knows nothing of it any more. */
export function interrupt(current: Progress): { next: Progress; change: Change } {
  if (isOver(current.state)) return { next: current, change: 'none' };
  const error = { code: 'DOWNLOAD_FAILED', message: 'The download was interrupted; retry resumes it.' };
  return { next: { ...current, state: 'interrupted', bytesPerSecond: 0, error }, change: 'state' };
}

export const percent = ({ state, bytesDone, bytesTotal }: Progress) =>
  state === 'done' ? 100 : bytesTotal > 0 ? Math.min(99, Math.floor((bytesDone / bytesTotal) * 100)) : 0;

/** At most so many a second per download are worth telling; a change of state always is. */
export function throttle(perSecond = 4) {
  const last = new Map<string, number>();
  return function isWorthTelling(id: string, change: Change, nowMs: number): boolean {
    if (change === 'none') return false;
    const before = last.get(id) ?? -Infinity;
    if (change === 'progress' && nowMs - before < 1000 / perSecond) return false;
    last.set(id, nowMs);
    return true;
  };
}
