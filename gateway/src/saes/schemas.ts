import { z } from 'zod';
import { pathInRepository, repository } from '../downloads/schemas.ts';
import type { SaeView } from './service.ts';

const saeQuality = z
  .object({
    l0: z.number().nullable().describe('Features active per token, on average.'),
    explained_variance: z.number().nullable().describe('1: the reconstruction is exact.'),
    loss_recovered: z
      .number()
      .nullable()
      .describe("The model's loss: 1 as without the SAE, 0 as with the place ablated."),
    dead_features: z.int().nullable().describe('Features that never fired where that was counted.'),
    sources: z.array(z.string()).describe('The files that state it.'),
  })
  .meta({ id: 'SaeQuality' });

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
    progress: z.number(),
    revision: z.string().nullable(),
    source: z.enum(['manifest', 'hub', 'local']),
    format: z.string().nullable(),
    download_id: z.string().nullable(),
    size_bytes: z.number().nullable(),
    memory_bytes: z.number().nullable(),
    quality: saeQuality.nullable().describe('As its own files state it; null where they do not.'),
    error: z.string().nullable(),
    created_at: z.string(),
  })
  .meta({ id: 'Sae' });

export const placement = z.object({ layer: z.int().min(0).optional(), hook: z.string().min(1).optional() });

export const previewBody = z.object(repository);

export const downloadBody = z
  .object({
    ...repository,
    repo_id: repository.repo_id.optional(),
    path: pathInRepository,
    model: z.string().nullish().describe('The model it belongs to, by name.'),
    release: z.string().max(200).optional(),
    sae_id: z.string().max(500).optional(),
  })
  .refine(({ repo_id, release }) => repo_id !== undefined || release !== undefined, {
    error: 'repo_id is required.',
    path: ['repo_id'],
  });

export const importBody = z.object({
  path: z.string().min(1).max(4096).describe("A folder on the inference service's disk."),
  id: z
    .string()
    .max(200)
    .regex(/^(?!\.{1,2}$)[^\s/]+$/, 'expected an id without slashes and spaces, and no dots alone')
    .optional(),
  model: z.string().nullish(),
  layer: z.int().min(0).optional(),
  hook: z.string().min(1).optional(),
});

export const previewWire = z
  .object({
    repo_id: z.string(),
    revision: z.string(),
    saes: z.array(
      z.object({
        id: z.string(),
        path: z.string(),
        size_bytes: z.number(),
        format: z.string().nullish(),
        architecture: z.string().nullish(),
        d_in: z.int().nullish(),
        d_sae: z.int().nullish(),
        hook: z.string().nullish(),
        layer: z.int().nullish(),
      }),
    ),
    size_bytes: z.number(),
    gated: z.boolean(),
    disk_free_bytes: z.number(),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'SaePreview' });

export const registryQuery = z.object({
  search: z.string().max(200).default('').describe('Words in the model, release, id or repository.'),
  skip: z.coerce.number().int().min(0).max(1_000_000).default(0),
  limit: z.coerce.number().int().min(1).max(500).default(50),
});

export const registryWire = z
  .object({
    release: z.string(),
    sae_id: z.string(),
    repo_id: z.string(),
    path: z.string(),
    model: z.string(),
    l0: z.number().nullish(),
    neuronpedia_id: z.string().nullish(),
  })
  .meta({ id: 'RegistryEntry' });

export const compatibilityWire = z
  .object({ compatible: z.boolean(), errors: z.array(z.string()), warnings: z.array(z.string()) })
  .meta({ id: 'Compatibility' });

const formatOf = (info: unknown) => {
  const format = (info as { format?: unknown } | null)?.format;
  return typeof format === 'string' ? format : null;
};

const qualityOf = (info: unknown) => saeQuality.safeParse((info as { quality?: unknown } | null)?.quality).data ?? null;

export function toWire({
  row,
  attached,
  modelName,
  error,
  isDownloading,
  progress,
}: SaeView): z.output<typeof saeWire> {
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
    status: attached ? 'attached' : isDownloading ? 'downloading' : error !== null ? 'error' : 'ready',
    progress,
    revision: row.revision,
    source: row.source as 'manifest' | 'hub' | 'local',
    format: attached?.format ?? formatOf(row.info),
    download_id: row.downloadId,
    size_bytes: row.sizeBytes === null ? null : Number(row.sizeBytes),
    memory_bytes: attached?.memory_bytes ?? null,
    quality: qualityOf(attached?.quality ? attached : row.info),
    error,
    created_at: row.createdAt.toISOString(),
  };
}
