// The statements about labels that Prisma cannot write: a merge, and one label with the version of its SAE.
import type { Prisma } from '../storage/generated/client.ts';
import type { DatabaseClient } from '../storage/database.ts';
import type { Edit } from './label-cache.ts';
import type { FeatureRow, NewFeature } from './repository.ts';

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

/** What is typed counts as the user's; taken away, the next import may write it again. null: the SAE is gone. */
export async function writeLabel(
  db: DatabaseClient,
  saeId: string,
  { index, label }: Pick<Edit, 'index' | 'label'>,
): Promise<{ row: FeatureRow; versions: Edit['versions'] } | null> {
  const source = label === null ? 'import' : 'user';
  // One statement is one transaction, and one way to the database instead of five. Versions rise, whatever clocks say.
  const [written] = await db.$queryRaw<(FeatureRow & { before: Date; after: Date })[]>`
    WITH known AS (SELECT id, updated_at FROM saes WHERE id = ${saeId} FOR UPDATE),
    sae AS (
      UPDATE saes SET updated_at = greatest(now(), known.updated_at + interval '1 millisecond')
      FROM known WHERE saes.id = known.id
      RETURNING saes.id, known.updated_at AS before, saes.updated_at AS after),
    feature AS (
      INSERT INTO feature_labels (sae_id, "index", label, source)
      SELECT id, ${index}, ${label}, ${source} FROM sae
      ON CONFLICT (sae_id, "index") DO UPDATE SET label = excluded.label, source = excluded.source, updated_at = now()
      RETURNING "index", label, density, max_activation AS "maxActivation", promoted, contexts)
    SELECT feature.*, sae.before, sae.after FROM feature, sae`;
  if (!written) return null;
  const { before, after, ...row } = written;
  return { row, versions: { before: before.getTime(), after: after.getTime() } };
}
