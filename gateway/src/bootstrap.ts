// The manifest a deployment brings along: models, SAEs and labels to know, and what to load when nothing was ever wanted.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import type { DesiredRepository } from './desired.ts';
import type { FeatureRepository } from './features/repository.ts';
import { labelsFile } from './features/schemas.ts';
import type { Logger } from './log.ts';
import type { ModelRepository } from './models/repository.ts';
import type { SaeRepository } from './saes/repository.ts';

const manifest = z.object({
  models: z
    .array(
      z.object({
        repo_id: z.string().min(1),
        name: z.string().optional(),
        path: z.string(),
        aliases: z.array(z.string()).default([]),
      }),
    )
    .default([]),
  saes: z
    .array(
      z.object({
        id: z.string().regex(/^[^/]+$/),
        path: z.string(),
        model: z.string(),
        labels: z.string().optional(),
      }),
    )
    .default([]),
  desired: z.object({ model: z.string(), saes: z.array(z.string()).default([]) }).optional(),
});

export interface BootstrapDeps {
  models: ModelRepository;
  saes: SaeRepository;
  features: FeatureRepository;
  desired: DesiredRepository;
  log: Logger;
}

/** Safe to apply at every start: it only adds and updates what it names. */
export async function applyManifest(path: string, deps: BootstrapDeps): Promise<void> {
  const { models, saes, desired } = deps;
  const wanted = manifest.parse(JSON.parse(await readFile(path, 'utf8')));
  const from = (file: string) => resolve(dirname(path), file);

  for (const { repo_id, name = repo_id, path: file, aliases } of wanted.models) {
    await models.upsert({ name, repoId: repo_id, path: from(file), aliases });
  }
  for (const { id, path: file, model, labels } of wanted.saes) {
    const owner = await models.findByName(model);
    const row = await saes.upsert({ id, path: from(file), modelId: owner?.id ?? null });
    if (labels !== undefined) await loadLabels(row.id, row.labelsHash, from(labels), deps);
  }
  if (wanted.desired && (await desired.read()) === null) {
    const model = await models.findByName(wanted.desired.model);
    await desired.update({ modelId: model?.id ?? null, saeIds: wanted.desired.saes });
  }
}

async function loadLabels(
  saeId: string,
  known: string | null,
  file: string,
  { features, log }: BootstrapDeps,
): Promise<void> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    log.warn({ event: 'labels:missing', sae_id: saeId, file, err: error }, 'labels file not readable');
    return null;
  });
  if (text === null) return;
  const hash = createHash('sha256').update(text).digest('hex');
  if (hash === known) return;
  const startedAt = performance.now();
  const parsed = labelsFile.parse(JSON.parse(text));
  await features.replace(saeId, parsed.features, hash);
  const seconds = (performance.now() - startedAt) / 1000;
  log.info({ event: 'labels:loaded', sae_id: saeId, features: parsed.features.length, seconds }, 'labels loaded');
}
