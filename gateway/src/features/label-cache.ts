// The labels of each SAE in memory: every activation entry is joined with them, and searches read nothing else.
import { cached } from '../storage/cached.ts';
import { amend, placeOf, searchable } from './search.ts';
import type { Searchable } from './search.ts';

export interface LoadedLabels {
  labels: Map<number, string>;
  /** Of every row of this SAE, labelled or not, in order. */
  indices: number[];
}

interface CachedLabels extends LoadedLabels {
  /** When the SAE or its labels were last written, by us or by another gateway. */
  version: number;
  searchable: Searchable | null;
}

export interface LabelCacheOptions {
  versions: () => Promise<Map<string, number>>;
  load: (saeId: string) => Promise<LoadedLabels>;
}

/** One label, written in a row of its own or in one that was there. */
export interface Edit {
  index: number;
  label: string | null;
  /** Of the SAE, before this and with it. */
  versions: { before: number; after: number };
}

/** SAEs whose labels are kept at once; a hundred thousand labels are about 20 MB. */
const mostSaes = 32;
const checkEveryMs = 2_000;

export function labelCache({ versions, load }: LabelCacheOptions) {
  const entries = new Map<string, Promise<CachedLabels>>();
  const current = cached(checkEveryMs, versions);

  function read(saeId: string, version: number): Promise<CachedLabels> {
    const entry = load(saeId).then((loaded) => ({ ...loaded, version, searchable: null }));
    entries.delete(saeId);
    entries.set(saeId, entry);
    entry.catch(() => entries.get(saeId) === entry && entries.delete(saeId));
    for (const oldest of entries.keys()) {
      if (entries.size <= mostSaes) break;
      entries.delete(oldest);
    }
    return entry;
  }

  async function get(saeId: string): Promise<CachedLabels> {
    const version = (await current.get()).get(saeId) ?? 0;
    const entry = await entries.get(saeId);
    return entry?.version === version ? entry : read(saeId, version);
  }

  function forget(saeId: string): void {
    entries.delete(saeId);
    current.invalidate();
  }

  return {
    get: async (saeId: string): Promise<Readonly<LoadedLabels>> => get(saeId),
    async search(saeId: string): Promise<Searchable> {
      const entry = await get(saeId);
      return (entry.searchable ??= searchable(entry.labels));
    },
    /** Changes what is kept in place, unless somebody else wrote in between: then all of it is read again. */
    async put(saeId: string, { index, label, versions: { before, after } }: Edit): Promise<void> {
      const entry = await entries.get(saeId);
      const known = await current.get();
      if (entry?.version !== before) return forget(saeId);
      if (label === null) entry.labels.delete(index);
      else entry.labels.set(index, label);
      const at = placeOf(entry.indices, index);
      if (entry.indices[at] !== index) entry.indices.splice(at, 0, index);
      if (entry.searchable) amend(entry.searchable, index, label);
      entry.version = after;
      known.set(saeId, after);
    },
    forget,
  };
}
