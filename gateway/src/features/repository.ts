// Labels and statistics of features: thousands of rows per SAE, written in bulk, read by page or by key.
import type { DatabaseClient } from '../storage/database.ts';
import { labelCache } from './label-cache.ts';
import { mergeBatch, writeLabel } from './merge.repository.ts';
import { searchLabels } from './search.ts';

export interface FeatureRow {
  index: number;
  label: string | null;
  density: number | null;
  maxActivation: number | null;
  promoted: unknown;
  contexts: unknown;
}

export interface NewFeature {
  index: number;
  label?: string | null | undefined;
  density?: number | null | undefined;
  max_activation?: number | null | undefined;
  promoted?: unknown;
  contexts?: unknown;
}

export interface FeatureQuery {
  search?: string | undefined;
  skip: number;
  limit: number;
  /** Only these, in this order. */
  among?: readonly number[] | undefined;
}

export type FeatureRepository = ReturnType<typeof featureRepository>;

const batchSize = 1_000;

export function featureRepository(db: DatabaseClient) {
  const cache = labelCache({
    async versions() {
      const rows = await db.sae.findMany({ select: { id: true, updatedAt: true } });
      return new Map(rows.map(({ id, updatedAt }) => [id, updatedAt.getTime()]));
    },
    async load(saeId) {
      const rows = await db.featureLabel.findMany({
        where: { saeId },
        select: { index: true, label: true },
        orderBy: { index: 'asc' },
      });
      const labelled = rows.flatMap(({ index, label }): [number, string][] => (label === null ? [] : [[index, label]]));
      return { labels: new Map(labelled), indices: rows.map(({ index }) => index) };
    },
  });
  const omit = { contexts: true, promoted: true } as const;

  /** Indices of what a search finds; a feature without a label is found by its number. */
  async function hits(saeId: string, search: string): Promise<number[]> {
    const [entry, labels] = [await cache.get(saeId), await cache.search(saeId)];
    const found = searchLabels(labels, search);
    const number = /^\d{1,9}$/.test(search.trim()) ? Number(search) : -1;
    return entry.indices.includes(number) && !entry.labels.has(number) ? [number, ...found] : found;
  }

  return {
    /** index → label of one SAE. */
    labels: async (saeId: string): Promise<ReadonlyMap<number, string>> => (await cache.get(saeId)).labels,

    async page(saeId: string, query: FeatureQuery): Promise<{ rows: FeatureRow[]; total: number }> {
      const { search, skip, limit, among } = query;
      const all = search === undefined ? (await cache.get(saeId)).indices : await hits(saeId, search);
      const known = among && new Set(all);
      const found = known ? among.filter((index) => known.has(index)) : all;
      const indices = found.slice(skip, skip + limit);
      const rows = await db.featureLabel.findMany({ where: { saeId, index: { in: indices } }, omit });
      const byIndex = new Map(rows.map((row) => [row.index, row]));
      const ordered = indices.flatMap((index) => byIndex.get(index) ?? []);
      return { rows: ordered.map((row) => ({ ...row, promoted: null, contexts: null })), total: found.length };
    },

    all: (saeId: string): Promise<FeatureRow[]> =>
      db.featureLabel.findMany({ where: { saeId }, orderBy: { index: 'asc' } }),

    find: (saeId: string, index: number): Promise<FeatureRow | null> =>
      db.featureLabel.findUnique({ where: { saeId_index: { saeId, index } } }),

    /** One label, typed by a person; null where the SAE is gone. */
    async setLabel(saeId: string, index: number, label: string | null): Promise<FeatureRow | null> {
      const written = await writeLabel(db, saeId, { index, label });
      if (written) await cache.put(saeId, { index, label, versions: written.versions });
      return written && written.row;
    },

    /** Adds to what is known, all or nothing; labels typed by a person stay, and are counted. */
    async merge(saeId: string, features: NewFeature[], source: string): Promise<{ kept: number }> {
      const kept = await db.$transaction(
        async (tx) => {
          const typed = await tx.featureLabel.findMany({ where: { saeId, source: 'user' }, select: { index: true } });
          const isTyped = new Set(typed.map(({ index }) => index));
          for (let from = 0; from < features.length; from += batchSize) {
            await mergeBatch(tx, saeId, features.slice(from, from + batchSize), source);
          }
          await tx.sae.update({ where: { id: saeId }, data: { updatedAt: new Date() } });
          return features.filter(({ index, label }) => label != null && isTyped.has(index)).length;
        },
        { timeout: 120_000, maxWait: 10_000 },
      );
      cache.forget(saeId);
      return { kept };
    },

    /** What a file of the deployment said is replaced in one transaction; labels typed or imported since then stay. */
    async replace(saeId: string, features: NewFeature[], hash: string): Promise<void> {
      await db.$transaction(
        async (tx) => {
          await tx.featureLabel.deleteMany({ where: { saeId, source: 'import' } });
          const others = await tx.featureLabel.findMany({ where: { saeId }, select: { index: true } });
          const isElsewhere = new Set(others.map(({ index }) => index));
          const fresh = features.filter(({ index }) => !isElsewhere.has(index));
          for (let from = 0; from < fresh.length; from += batchSize) {
            await mergeBatch(tx, saeId, fresh.slice(from, from + batchSize), 'import');
          }
          await tx.sae.update({ where: { id: saeId }, data: { labelsHash: hash } });
        },
        { timeout: 120_000, maxWait: 10_000 },
      );
      cache.forget(saeId);
    },
  };
}
