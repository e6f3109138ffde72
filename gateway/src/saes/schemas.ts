import { z } from 'zod';
import type { SaeView } from './service.ts';

export const saeWire = z
  .object({
    id: z.string(),
    name: z.string(),
    repo_id: z.string().nullable(),
    path: z.string().nullable(),
    architecture: z.string().nullable(),
    d_in: z.int().nullable(),
    d_sae: z.int().nullable(),
    hook: z.string().nullable(),
    layer: z.int().nullable(),
    model: z.string().nullable(),
    attached: z.boolean(),
    operations: z.array(z.string()),
    warnings: z.array(z.string()),
    status: z.enum(['downloading', 'ready', 'attached', 'error']),
    size_bytes: z.number().nullable(),
    memory_bytes: z.number().nullable(),
    error: z.string().nullable(),
    created_at: z.string(),
  })
  .meta({ id: 'Sae' });

export const placement = z.object({ layer: z.int().min(0).optional(), hook: z.string().min(1).optional() });

export function toWire({ row, attached, modelName, error }: SaeView): z.output<typeof saeWire> {
  return {
    id: row.id,
    name: row.id,
    repo_id: row.repoId,
    path: row.path,
    architecture: attached?.architecture ?? row.architecture,
    d_in: attached?.d_in ?? row.dIn,
    d_sae: attached?.d_sae ?? row.dSae,
    hook: attached?.hook ?? row.hook,
    layer: attached?.layer ?? row.layer,
    model: modelName ?? attached?.model ?? null,
    attached: attached !== null,
    operations: attached?.operations ?? [],
    warnings: attached?.warnings ?? [],
    status: attached ? 'attached' : error !== null ? 'error' : row.status === 'downloading' ? 'downloading' : 'ready',
    size_bytes: row.sizeBytes === null ? null : Number(row.sizeBytes),
    memory_bytes: attached?.memory_bytes ?? null,
    error,
    created_at: row.createdAt.toISOString(),
  };
}
