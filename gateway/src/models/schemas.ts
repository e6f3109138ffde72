import { z } from 'zod';
import type { ModelView } from './service.ts';

export const modelWire = z
  .object({
    id: z.string(),
    name: z.string(),
    repo_id: z.string(),
    revision: z.string().nullable(),
    aliases: z.array(z.string()),
    architecture: z.string().nullable(),
    parameters: z.number().nullable(),
    context_length: z.number().nullable(),
    quantization: z.string().nullable(),
    dtype: z.string().nullable(),
    device: z.string().nullable(),
    size_bytes: z.number().nullable(),
    memory_bytes: z.number().nullable(),
    status: z.enum(['downloading', 'ready', 'loading', 'loaded', 'error']),
    progress: z.number(),
    locked: z.boolean(),
    error: z.string().nullable(),
    created_at: z.string(),
  })
  .meta({ id: 'Model' });

export type ModelWire = z.output<typeof modelWire>;

const toNumber = (value: bigint | null) => (value === null ? null : Number(value));

export function toWire({ row, status, loaded, error }: ModelView): ModelWire {
  return {
    id: row.id,
    name: row.name,
    repo_id: row.repoId,
    revision: row.revision,
    aliases: row.aliases,
    architecture: loaded?.architecture ?? row.architecture,
    parameters: loaded?.parameters ?? toNumber(row.parameters),
    context_length: loaded?.context_length ?? row.contextLength,
    quantization: loaded?.quantization ?? row.quantization,
    dtype: loaded?.dtype ?? null,
    device: loaded?.device ?? null,
    size_bytes: toNumber(row.sizeBytes),
    memory_bytes: loaded?.memory_bytes ?? null,
    status,
    progress: status === 'loaded' || status === 'ready' ? 100 : 0,
    locked: row.locked,
    error,
    created_at: row.createdAt.toISOString(),
  };
}
