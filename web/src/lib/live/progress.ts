/** Downloads and loads as the gateway tells of them: a snapshot replaces everything, an update only what is older. Pure. */
import type { ProgressUpdate } from '@millm/proto/live';

export type Progress = ReadonlyMap<string, ProgressUpdate>;

export const progressKey = ({ kind, id }: Pick<ProgressUpdate, 'kind' | 'id'>): string => `${kind}:${id}`;

export function progressFrom(items: ProgressUpdate[]): Progress {
  return new Map(items.map((item) => [progressKey(item), item]));
}

export function withUpdate(progress: Progress, update: ProgressUpdate): Progress {
  const key = progressKey(update);
  if ((progress.get(key)?.seq ?? -1) >= update.seq) return progress;
  return new Map(progress).set(key, update);
}
