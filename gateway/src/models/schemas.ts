import { z } from 'zod';
import { repository } from '../downloads/schemas.ts';
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
    source: z.enum(['manifest', 'hub', 'local']),
    trust_remote_code: z.boolean(),
    download_id: z.string().nullable(),
    created_at: z.string(),
  })
  .meta({ id: 'Model' });

const quantization = z.enum(['Q4', 'Q8', 'FP16', 'BF16', 'FP32']).nullish();
/** Running a repository's own code is never the default. */
const consent = z.boolean().default(false);

export const previewBody = z.object(repository);
export const downloadBody = z.object({ ...repository, quantization, trust_remote_code: consent });
export const importBody = z.object({
  path: z.string().min(1).max(4096).describe("A directory or a .gguf file on the inference service's disk."),
  name: z
    .string()
    .max(200)
    .regex(/^[^\s/][^\s]*$/, 'expected a name without spaces')
    .optional(),
  quantization,
  trust_remote_code: consent,
});

export const previewWire = z
  .object({
    repo_id: z.string(),
    revision: z.string(),
    files: z.array(z.object({ path: z.string(), size_bytes: z.number() })),
    size_bytes: z.number(),
    gated: z.boolean(),
    license: z.string().nullish(),
    architecture: z.string().nullish(),
    parameters: z.number().nullish(),
    context_length: z.number().nullish(),
    requires_trust_remote_code: z.boolean(),
    memory: z.array(
      z.object({
        quantization: z.string(),
        memory_bytes: z.number(),
        kv_bytes: z.number().optional(),
        sae_bytes: z.number().optional(),
        fits: z.boolean(),
      }),
    ),
    disk_free_bytes: z.number(),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'ModelPreview' });

export type ModelWire = z.output<typeof modelWire>;

const toNumber = (value: bigint | null) => (value === null ? null : Number(value));

export function toWire({ row, status, loaded, error, progress }: ModelView): ModelWire {
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
    progress,
    locked: row.locked,
    error,
    source: row.source as 'manifest' | 'hub' | 'local',
    trust_remote_code: row.trustRemoteCode,
    download_id: row.downloadId,
    created_at: row.createdAt.toISOString(),
  };
}
