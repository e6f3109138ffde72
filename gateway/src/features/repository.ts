// Labels and statistics of features: thousands of rows per SAE, written in bulk, read by page or by key.
import type { DatabaseClient } from '../storage/database.ts';
import { mergeBatch, searchLabels } from './search.repository.ts';

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
  const labels = new Map<string, Promise<Map<number, string>>>();

  async function loadLabels(saeId: string): Promise<Map<number, string>> {
    const rows = await db.featureLabel.findMany({
      where: { saeId, label: { not: null } },
      select: { index: true, label: true },
    });
    return new Map(rows.map((row) => [row.index, row.label ?? '']));
  }

  return {
    /** index → label of one SAE, kept in memory: every activation entry is joined with it. */
    labels(saeId: string): Promise<Map<number, string>> {
      let found = labels.get(saeId);
      if (!found) {
        found = loadLabels(saeId);
        found.catch(() => labels.delete(saeId));
        labels.set(saeId, found);
      }
      return found;
    },

    async page(saeId: string, { search, skip, limit }: FeatureQuery): Promise<{ rows: FeatureRow[]; total: number }> {
      if (search !== undefined) return searchLabels(db, saeId, search, { skip, limit });
      const [rows, total] = await Promise.all([
        db.featureLabel.findMany({
          where: { saeId },
          orderBy: { index: 'asc' },
          skip,
          take: limit,
          omit: { contexts: true, promoted: true },
        }),
        db.featureLabel.count({ where: { saeId } }),
      ]);
      return { rows: rows.map((row) => ({ ...row, promoted: null, contexts: null })), total };
    },

    all: (saeId: string): Promise<FeatureRow[]> =>
      db.featureLabel.findMany({ where: { saeId }, orderBy: { index: 'asc' } }),

    find: (saeId: string, index: number): Promise<FeatureRow | null> =>
      db.featureLabel.findUnique({ where: { saeId_index: { saeId, index } } }),

    /** One label, typed by a person. */
    async setLabel(saeId: string, index: number, label: string | null): Promise<FeatureRow> {
      const change = { label, source: label === null ? 'import' : 'user' };
      const row = await db.featureLabel.upsert({
        where: { saeId_index: { saeId, index } },
        create: { saeId, index, ...change },
        update: change,
      });
      labels.delete(saeId);
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
      labels.delete(saeId);
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
      labels.delete(saeId);
    },
  };
}
