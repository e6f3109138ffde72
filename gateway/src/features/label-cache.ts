// The labels of each SAE in memory: every activation entry is joined with them, and searches read nothing else.
import { cached } from '../storage/cached.ts';
import { searchable } from './search.ts';
import type { Searchable } from './search.ts';

export interface CachedLabels {
  /** When the SAE or its labels were last written, by us or by another gateway. */
  version: number;
  labels: Map<number, string>;
  /** Of every row of this SAE, labelled or not, in order. */
  indices: number[];
  search(): Searchable;
}

export interface LabelCacheOptions {
  versions: () => Promise<Map<string, number>>;
  load: (saeId: string) => Promise<{ labels: Map<number, string>; indices: number[] }>;
}

/** SAEs whose labels are kept at once; a hundred thousand labels are about 20 MB. */
const mostSaes = 32;
const checkEveryMs = 2_000;

export function labelCache({ versions, load }: LabelCacheOptions) {
  const entries = new Map<string, Promise<CachedLabels>>();
  const current = cached(checkEveryMs, versions);

  function read(saeId: string, version: number): Promise<CachedLabels> {
    const entry = load(saeId).then((loaded) => keep({ ...loaded, version }));
    entries.delete(saeId);
    entries.set(saeId, entry);
    entry.catch(() => entries.get(saeId) === entry && entries.delete(saeId));
    for (const oldest of entries.keys()) {
      if (entries.size <= mostSaes) break;
      entries.delete(oldest);
    }
    return entry;
  }

  return {
    async get(saeId: string): Promise<CachedLabels> {
      const version = (await current.get()).get(saeId) ?? 0;
      const entry = await entries.get(saeId);
      return entry && entry.version >= version ? entry : read(saeId, version);
    },
    /** One label was written here: nothing is read again for it. */
    async put(saeId: string, index: number, label: string | null, isNew: boolean, version: number): Promise<void> {
      const entry = await entries.get(saeId);
      if (!entry) return;
      const labels = new Map(entry.labels);
      if (label === null) labels.delete(index);
      else labels.set(index, label);
      const indices = isNew ? [...entry.indices, index].sort((a, b) => a - b) : entry.indices;
      entries.set(saeId, Promise.resolve(keep({ labels, version, indices })));
    },
    forget(saeId: string): void {
      entries.delete(saeId);
      current.invalidate();
    },
  };
}

function keep(entry: Omit<CachedLabels, 'search'>): CachedLabels {
  let prepared: Searchable | null = null;
  return { ...entry, search: () => (prepared ??= searchable(entry.labels)) };
}
