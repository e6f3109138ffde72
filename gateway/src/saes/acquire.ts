// How an SAE gets here: listed in a hub repository, downloaded from it, or taken from this machine's disk.
import { AppError, toAppError } from '../errors.ts';
import type { DownloadService } from '../downloads/service.ts';
import type { InferenceClient, RegistryQuery } from '../inference/client.ts';
import type { Schemas } from '../inference/contract.ts';
import type { Logger } from '../log.ts';
import type { ModelRepository } from '../models/repository.ts';
import type { SaeRepository, SaeRow } from './repository.ts';

export interface HubAsk {
  repo_id: string;
  revision?: string | null | undefined;
  hf_token?: string | null | undefined;
}

export interface SaeDownloadAsk {
  repo_id?: string | undefined;
  path?: string | null | undefined;
  revision?: string | null | undefined;
  hf_token?: string | null | undefined;
  model?: string | null | undefined;
  release?: string | undefined;
  sae_id?: string | undefined;
}

export interface SaeImportAsk {
  path: string;
  id?: string | undefined;
  model?: string | null | undefined;
  layer?: number | undefined;
  hook?: string | undefined;
}

export interface SaeAcquireOptions {
  saes: SaeRepository;
  models: ModelRepository;
  downloads: DownloadService;
  client: Pick<InferenceClient, 'previewRepository' | 'inspectSae' | 'searchRegistry'>;
  hubToken: string | undefined;
  log: Logger;
}

export type SaeAcquisition = ReturnType<typeof saeAcquisition>;

/** `owner--name@revision--folder--parts`: the id that the original gives it too. */
export function saeIdOf(repoId: string, path: string | null, revision: string | null): string {
  const at = revision === null || revision === 'main' ? '' : `@${revision.replaceAll('/', '--')}`;
  const folder = (path ?? '').replace(/^\/+|\/+$/g, '').replaceAll('/', '--');
  return `${repoId.replaceAll('/', '--')}${at}${folder === '' ? '' : `--${folder}`}`;
}

export function saeAcquisition({ saes, models, downloads, client, hubToken, log }: SaeAcquireOptions) {
  const tokenOf = (ask: { hf_token?: string | null | undefined }) => ask.hf_token ?? hubToken ?? null;
  const modelIdOf = async (name: string | null | undefined) =>
    name == null ? null : ((await models.findByName(name))?.id ?? null);

  async function ownerOf(name: string | null | undefined): Promise<string | null> {
    const id = await modelIdOf(name);
    if (name != null && id === null)
      throw new AppError('MODEL_NOT_FOUND', `There is no model "${name}".`, { param: 'model' });
    return id;
  }

  /** The repository and folder that are asked for, or those of a release and an id in the SAELens registry. */
  async function placeOf({ repo_id, path, release, sae_id }: SaeDownloadAsk) {
    if (repo_id !== undefined) return { repoId: repo_id, path: path?.replace(/\/+$/, '') || null, model: null };
    if (sae_id === undefined) {
      throw new AppError('VALIDATION_ERROR', 'A release holds many SAEs: name one in sae_id.', { param: 'sae_id' });
    }
    const entry = (await client.searchRegistry({ release, sae_id, limit: 1 })).items[0];
    if (!entry) {
      const message = `The SAELens registry has no "${sae_id}" in the release "${release ?? ''}"; GET /api/saes/registry?search= finds those it has.`;
      throw new AppError('SAE_NOT_FOUND', message, { param: 'sae_id', details: { release, sae_id } });
    }
    return { repoId: entry.repo_id, path: entry.path, model: entry.model };
  }

  /** Columns of what the sidecar read in the files. */
  const described = ({ architecture, d_in, d_sae, hook, layer, size_bytes, ...rest }: Schemas['SaeDescription']) => ({
    ...{ architecture, dIn: d_in, dSae: d_sae, hook: hook ?? null, layer: layer ?? null },
    sizeBytes: BigInt(size_bytes),
    info: {
      ...{ format: rest.format, normalization: rest.normalization, hook_out: rest.hook_out ?? null },
      ...{ neuronpedia_id: rest.neuronpedia_id ?? null, model: rest.model ?? null },
      ...{ content_hash: rest.content_hash ?? '', warnings: rest.warnings ?? [], quality: rest.quality ?? null },
      strengths: rest.strengths ?? [],
    },
  });

  async function complete(row: SaeRow, path: string, revision: string | null): Promise<void> {
    try {
      const seen = await client.inspectSae({ path });
      const { info, ...columns } = described(seen);
      await saes.update(row.id, {
        ...columns,
        ...{ path, revision: revision ?? row.revision, status: 'ready', error: null },
        info: { ...(row.info as object | null), ...info },
        ...(row.modelId === null && { modelId: await modelIdOf(seen.model) }),
      });
    } catch (thrown) {
      const error = toAppError(thrown);
      log.warn({ event: 'sae:unreadable', sae_id: row.id, err: error }, error.message);
      if (error.code === 'SIDECAR_UNAVAILABLE') throw error; // tried again when the sidecar is back
      await saes.update(row.id, { path, status: 'error', error: error.message });
    }
  }

  downloads.onDone(async (download, { localPath, revision }) => {
    if (download.kind !== 'sae' || localPath === null) return;
    const waiting = (await saes.list()).filter((row) => row.downloadId === download.id && row.path === null);
    for (const row of waiting) await complete(row, localPath, revision);
  });

  return {
    async preview({ repo_id, revision, ...ask }: HubAsk) {
      const hf_token = tokenOf(ask);
      const seen = await client.previewRepository({ repo_id, kind: 'sae', revision: revision ?? null, hf_token });
      const saes = seen.saes.map((sae) => ({ id: saeIdOf(repo_id, sae.path, revision ?? null), ...sae }));
      const { size_bytes, gated, disk_free_bytes, warnings = [] } = seen;
      return { repo_id, revision: seen.revision, saes, size_bytes, gated, disk_free_bytes, warnings };
    },

    registry: (query: RegistryQuery) => client.searchRegistry(query),

    async download(ask: SaeDownloadAsk): Promise<SaeRow> {
      const { repoId, path, model } = await placeOf(ask);
      const { revision = null } = ask;
      const modelId = (await ownerOf(ask.model)) ?? (await modelIdOf(model));
      const { row: download, progress, isNew } = await downloads.ensure({ kind: 'sae', repoId, revision, path });
      const id = saeIdOf(repoId, path, revision);
      const known = await saes.find(id);
      if (known && known.path !== null && known.status !== 'error') {
        throw new AppError('CONFLICT', `The SAE "${id}" is already here.`, { details: { sae_id: id } });
      }
      const row =
        known ??
        (await saes.create({
          ...{ id, repoId, revision, modelId, source: 'hub', downloadId: download.id },
          info: { repo_path: path },
        }));
      if (progress.state === 'done' && progress.localPath !== null) {
        await complete(row, progress.localPath, progress.revision);
        return (await saes.find(id)) ?? row;
      }
      try {
        await downloads.start(download, tokenOf(ask));
      } catch (error) {
        if (!known) await saes.remove(id);
        if (isNew) await downloads.forget(download.id);
        throw error;
      }
      return row;
    },

    async importFolder({ path, id, model, layer, hook }: SaeImportAsk): Promise<SaeRow> {
      const modelId = await ownerOf(model);
      const overrides = { ...(layer !== undefined && { layer }), ...(hook !== undefined && { hook }) };
      const hasOverrides = Object.keys(overrides).length > 0;
      const seen = await client.inspectSae({ path, ...(hasOverrides && { overrides }) });
      const saeId = id ?? path.replace(/\/+$/, '').split('/').at(-1) ?? 'sae';
      if (await saes.find(saeId)) {
        throw new AppError('CONFLICT', `There is already an SAE "${saeId}"; give it another id.`, { param: 'id' });
      }
      return saes.create({
        ...{ id: saeId, path: seen.path, modelId: modelId ?? (await modelIdOf(seen.model)), source: 'local' },
        ...described(seen),
        ...(hasOverrides && { overrides }),
      });
    },
  };
}
