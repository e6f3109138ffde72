// The one statement about labels that Prisma cannot write: a merge.
import type { Prisma } from '../storage/generated/client.ts';
import type { NewFeature } from './repository.ts';

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
