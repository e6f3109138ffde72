import { z } from 'zod';
import { isRunning, percent } from './progress.ts';
import type { DownloadView } from './service.ts';

export const downloadWire = z
  .object({
    id: z.string(),
    kind: z.enum(['model', 'sae']),
    repo_id: z.string(),
    revision: z.string().nullable(),
    path: z.string().nullable(),
    state: z.enum(['queued', 'running', 'done', 'failed', 'cancelled', 'interrupted']),
    resumable: z.boolean(),
    progress: z.number(),
    bytes_done: z.number(),
    bytes_total: z.number(),
    bytes_per_second: z.number(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ id: 'Download' });

export function toWire({ row, progress }: DownloadView): z.output<typeof downloadWire> {
  return {
    id: row.id,
    kind: row.kind as 'model' | 'sae',
    repo_id: row.repoId,
    revision: progress.revision ?? row.revision,
    path: row.path,
    state: progress.state,
    resumable: !isRunning(progress.state) && progress.state !== 'done',
    progress: percent(progress),
    bytes_done: progress.bytesDone,
    bytes_total: progress.bytesTotal,
    bytes_per_second: progress.bytesPerSecond,
    error: progress.error,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  };
}

/** What may be asked of a hub; everything else is refused before it leaves this program. */
export const repository = {
  repo_id: z
    .string()
    .max(200)
    .regex(/^[\w.-]+\/[\w.-]+$/, 'expected owner/name')
    .refine((id) => !id.includes('..'), { error: 'expected owner/name' }),
  revision: z
    .string()
    .max(200)
    .regex(/^[\w.][\w./-]*$/, 'expected a branch, a tag or a commit')
    .refine((name) => !name.includes('..'), { error: 'expected a branch, a tag or a commit' })
    .nullish(),
  hf_token: z.string().max(500).nullish().describe('For this call only: never stored, never logged.'),
};

export const pathInRepository = z
  .string()
  .max(500)
  .refine((path) => !/^[/~]|\\|:|(^|\/)\.\.?(\/|$)/.test(path), { error: 'expected a path inside the repository' })
  .nullish();
