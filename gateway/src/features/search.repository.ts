// The two statements about labels that Prisma cannot write: a search by words, parts of words or index, and a merge.
import type { Prisma } from '../storage/generated/client.ts';
import type { DatabaseClient } from '../storage/database.ts';
import type { FeatureRow, NewFeature } from './repository.ts';

type Found = Pick<FeatureRow, 'index' | 'label' | 'density' | 'maxActivation'> & { total: bigint };

/**
 * Words through the full-text index (so "joke" finds "jokes"), parts of words through the trigram index where the server
 * has one and by a scan of this SAE's labels where not, and the index itself, which comes first.
 */
export async function searchLabels(
  db: DatabaseClient,
  saeId: string,
  search: string,
  { skip, limit }: { skip: number; limit: number },
): Promise<{ rows: FeatureRow[]; total: number }> {
  const index = /^\d{1,9}$/.test(search) ? Number(search) : -1;
  const escaped = search.replace(/[\\%_]/g, (char) => `\\${char}`);
  const find = (from: number, count: number) => db.$queryRaw<Found[]>`
    WITH hits AS MATERIALIZED (
      SELECT "index" FROM feature_labels
        WHERE sae_id = ${saeId}
          AND to_tsvector('english', coalesce(label, '')) @@ websearch_to_tsquery('english', ${search})
      UNION
      SELECT "index" FROM feature_labels WHERE sae_id = ${saeId} AND label ILIKE ${`%${escaped}%`}
      UNION
      SELECT "index" FROM feature_labels WHERE sae_id = ${saeId} AND "index" = ${index}::int
    )
    SELECT "index", label, density, max_activation AS "maxActivation", count(*) OVER () AS total
    FROM feature_labels JOIN hits USING ("index")
    WHERE sae_id = ${saeId}
    ORDER BY ("index" = ${index}::int) DESC, (label ILIKE ${`${escaped}%`}) DESC NULLS LAST, "index"
    OFFSET ${from} LIMIT ${count}`;
  const found = await find(skip, limit);
  // Past the end no row carries the total along.
  const total = found[0]?.total ?? (skip > 0 ? (await find(0, 1))[0]?.total : undefined) ?? 0n;
  const rows = found.map(({ total: _, ...row }) => ({ ...row, promoted: null, contexts: null }));
  return { rows, total: Number(total) };
}

/** What a file does not say stays as it is. */
export async function mergeBatch(
  tx: Prisma.TransactionClient,
  saeId: string,
  features: readonly NewFeature[],
  source: string,
): Promise<void> {
  await tx.$executeRaw`
    INSERT INTO feature_labels (sae_id, "index", label, density, max_activation, promoted, contexts, source)
    SELECT ${saeId}, "index", label, density, max_activation, promoted, contexts, ${source}
    FROM jsonb_to_recordset(${JSON.stringify(features)}::jsonb) AS given(
      "index" int, label text, density float8, max_activation float8, promoted jsonb, contexts jsonb)
    ON CONFLICT (sae_id, "index") DO UPDATE SET
      label = CASE WHEN feature_labels.source = 'user' THEN feature_labels.label
                   ELSE coalesce(excluded.label, feature_labels.label) END,
      density = coalesce(excluded.density, feature_labels.density),
      max_activation = coalesce(excluded.max_activation, feature_labels.max_activation),
      promoted = coalesce(excluded.promoted, feature_labels.promoted),
      contexts = coalesce(excluded.contexts, feature_labels.contexts),
      source = CASE WHEN feature_labels.source = 'user' THEN 'user' ELSE excluded.source END,
      updated_at = now()`;
}
