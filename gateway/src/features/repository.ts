// Labels and statistics of features: thousands of rows per SAE, written in bulk, read by page or by key.
import type { DatabaseClient } from '../storage/database.ts';
import { labelCache } from './label-cache.ts';
import { mergeBatch } from './merge.repository.ts';
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
      const rows = await db.featureLabel.findMany({ where: { saeId }, select: { index: true, label: true } });
      const labelled = rows.flatMap(({ index, label }): [number, string][] => (label === null ? [] : [[index, label]]));
      return { labels: new Map(labelled), total: rows.length };
    },
  });
  const omit = { contexts: true, promoted: true } as const;
  const toPage = (rows: Omit<FeatureRow, keyof typeof omit>[]) =>
    rows.map((row) => ({ ...row, promoted: null, contexts: null }));

  async function find(saeId: string, search: string, { skip, limit }: FeatureQuery) {
    const hits = searchLabels((await cache.get(saeId)).search(), search);
    // A feature without a label is found by its number alone.
    const number = /^\d{1,9}$/.test(search.trim()) ? Number(search) : null;
    const isUnlabelled =
      number !== null && hits[0] !== number && (await db.featureLabel.count({ where: { saeId, index: number } })) > 0;
    if (isUnlabelled) hits.unshift(number);
    const indices = hits.slice(skip, skip + limit);
    const rows = await db.featureLabel.findMany({ where: { saeId, index: { in: indices } }, omit });
    const byIndex = new Map(rows.map((row) => [row.index, row]));
    return { rows: toPage(indices.flatMap((index) => byIndex.get(index) ?? [])), total: hits.length };
  }

  return {
    /** index → label of one SAE. */
    labels: async (saeId: string): Promise<ReadonlyMap<number, string>> => (await cache.get(saeId)).labels,

    async page(saeId: string, query: FeatureQuery): Promise<{ rows: FeatureRow[]; total: number }> {
      const { search, skip, limit } = query;
      if (search !== undefined) return find(saeId, search, query);
      const [rows, { total }] = await Promise.all([
        db.featureLabel.findMany({ where: { saeId }, orderBy: { index: 'asc' }, skip, take: limit, omit }),
        cache.get(saeId),
      ]);
      return { rows: toPage(rows), total };
    },

    all: (saeId: string): Promise<FeatureRow[]> =>
      db.featureLabel.findMany({ where: { saeId }, orderBy: { index: 'asc' } }),

    find: (saeId: string, index: number): Promise<FeatureRow | null> =>
      db.featureLabel.findUnique({ where: { saeId_index: { saeId, index } } }),

    /** One label, typed by a person. */
    async setLabel(saeId: string, index: number, label: string | null): Promise<FeatureRow> {
      const data = { label, source: label === null ? 'import' : 'user' };
      const [before, row, sae] = await db.$transaction([
        db.featureLabel.count({ where: { saeId, index } }),
        db.featureLabel.upsert({
          where: { saeId_index: { saeId, index } },
          create: { saeId, index, ...data },
          update: data,
        }),
        db.sae.update({ where: { id: saeId }, data: { updatedAt: new Date() }, select: { updatedAt: true } }),
      ]);
      await cache.put(saeId, index, label, before === 0, sae.updatedAt.getTime());
      return row;
    },

    /** Adds to what is known, all or nothing; labels typed by a person stay, and are counted. */
    async merge(saeId: string, features: NewFeature[], source: string, hash: string): Promise<{ kept: number }> {
      const kept = await db.$transaction(
        async (tx) => {
          const typed = await tx.featureLabel.findMany({ where: { saeId, source: 'user' }, select: { index: true } });
          const isTyped = new Set(typed.map(({ index }) => index));
          for (let from = 0; from < features.length; from += batchSize) {
            await mergeBatch(tx, saeId, features.slice(from, from + batchSize), source);
          }
          await tx.sae.update({ where: { id: saeId }, data: { labelsHash: hash } });
          return features.filter(({ index, label }) => label != null && isTyped.has(index)).length;
        },
        { timeout: 120_000, maxWait: 10_000 },
      );
      cache.forget(saeId);
      return { kept };
    },

    /** Replaces every label of an SAE in one transaction, and remembers what they came from. */
    async replace(saeId: string, features: NewFeature[], hash: string): Promise<void> {
      await db.$transaction(
        async (tx) => {
          await tx.featureLabel.deleteMany({ where: { saeId, source: { not: 'user' } } });
          const typed = await tx.featureLabel.findMany({ where: { saeId }, select: { index: true } });
          const isTyped = new Set(typed.map(({ index }) => index));
          const fresh = features.filter(({ index }) => !isTyped.has(index));
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
