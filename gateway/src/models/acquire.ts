// How a model gets here: looked at on the hub, downloaded, or taken from this machine's disk. One copy per revision.
import { AppError, toAppError } from '../errors.ts';
import type { DownloadService } from '../downloads/service.ts';
import type { InferenceClient } from '../inference/client.ts';
import type { Schemas } from '../inference/contract.ts';
import type { Logger } from '../log.ts';
import type { ModelRepository, ModelRow } from './repository.ts';

export type Quantization = Schemas['Quantization'];

export interface HubAsk {
  repo_id: string;
  revision?: string | null | undefined;
  hf_token?: string | null | undefined;
}

export interface DownloadAsk extends HubAsk {
  quantization?: Quantization | null | undefined;
  trust_remote_code?: boolean | undefined;
}

export interface ImportAsk {
  path: string;
  name?: string | undefined;
  quantization?: Quantization | null | undefined;
  trust_remote_code?: boolean | undefined;
}

export interface AcquireOptions {
  models: ModelRepository;
  downloads: DownloadService;
  client: Pick<InferenceClient, 'previewRepository' | 'inspectModel'>;
  hubToken: string | undefined;
  log: Logger;
}

export type ModelAcquisition = ReturnType<typeof modelAcquisition>;

export function modelAcquisition({ models, downloads, client, hubToken, log }: AcquireOptions) {
  const tokenOf = (ask: { hf_token?: string | null | undefined }) => ask.hf_token ?? hubToken ?? null;

  /** Consent is what the last one who asked said of it. */
  async function withConsent(row: ModelRow, trustRemoteCode: boolean): Promise<ModelRow> {
    if (row.trustRemoteCode === trustRemoteCode) return row;
    await models.update(row.id, { trustRemoteCode });
    return { ...row, trustRemoteCode };
  }

  /** What the files say, once they are here; a model that cannot be read is kept with the reason. */
  async function complete(row: ModelRow, path: string, revision: string | null): Promise<void> {
    try {
      const described = await client.inspectModel({ path, trust_remote_code: row.trustRemoteCode });
      await models.update(row.id, {
        ...{ path, revision: revision ?? row.revision, status: 'ready', error: null },
        architecture: described.architecture,
        parameters: described.parameters === null ? null : BigInt(described.parameters),
        contextLength: described.context_length,
        sizeBytes: BigInt(described.size_bytes),
      });
    } catch (thrown) {
      const error = toAppError(thrown);
      log.warn({ event: 'model:unreadable', model_id: row.id, err: error }, error.message);
      if (error.code === 'SIDECAR_UNAVAILABLE') throw error; // tried again when the sidecar is back
      await models.update(row.id, { path, status: 'error', error: error.message });
    }
  }

  downloads.onDone(async (download, { localPath, revision }) => {
    if (download.kind !== 'model' || localPath === null) return;
    const waiting = (await models.list()).filter((row) => row.downloadId === download.id && row.path === null);
    for (const row of waiting) await complete(row, localPath, revision);
  });

  async function freeName(wanted: readonly string[]): Promise<string> {
    const taken = new Set((await models.list()).map((row) => row.name.toLowerCase()));
    const free = wanted.find((name) => !taken.has(name.toLowerCase()));
    if (free !== undefined) return free;
    let copy = 2;
    while (taken.has(`${wanted[0]}#${copy}`.toLowerCase())) copy += 1;
    return `${wanted[0]}#${copy}`;
  }

  return {
    async preview({ repo_id, revision, ...ask }: HubAsk) {
      const hf_token = tokenOf(ask);
      const seen = await client.previewRepository({ repo_id, kind: 'model', revision: revision ?? null, hf_token });
      const { requires_trust_remote_code = false, warnings = [] } = seen;
      return { ...seen, requires_trust_remote_code, warnings };
    },

    /** A second click finds the same row; another quantization of the same revision shares the files. */
    async download(ask: DownloadAsk): Promise<ModelRow> {
      const { repo_id: repoId, revision = null, quantization = null, trust_remote_code: trusts = false } = ask;
      const {
        row: download,
        progress,
        isNew,
      } = await downloads.ensure({ kind: 'model', repoId, revision, path: null });
      const known = (await models.list()).find(
        (row) => row.downloadId === download.id && row.quantization === quantization,
      );
      if (known && known.path !== null && known.status !== 'error') {
        throw new AppError('CONFLICT', `The model "${known.name}" is already here.`, {
          details: { model_id: known.id },
        });
      }
      const at = revision === null ? '' : `@${revision}`;
      const variant = quantization === null ? '' : `:${quantization}`;
      const name =
        known?.name ?? (await freeName([repoId, `${repoId}${variant}`, `${repoId}${at}`, `${repoId}${variant}${at}`]));
      const row = known
        ? await withConsent(known, trusts)
        : await models.create({
            ...{ name, repoId, revision, quantization, path: null, source: 'hub' },
            ...{ downloadId: download.id, trustRemoteCode: trusts },
          });
      if (progress.state === 'done' && progress.localPath !== null) {
        await complete(row, progress.localPath, progress.revision);
        return (await models.find(row.id)) ?? row;
      }
      try {
        await downloads.start(download, tokenOf(ask));
      } catch (error) {
        // Refused before it began: nothing to keep.
        if (!known) await models.remove(row.id);
        if (isNew) await downloads.forget(download.id);
        throw error;
      }
      return row;
    },

    async importFile({
      path,
      name,
      quantization = null,
      trust_remote_code: trusts = false,
    }: ImportAsk): Promise<ModelRow> {
      const described = await client.inspectModel({ path, trust_remote_code: trusts });
      const base = path.replace(/\/+$/, '').split('/').at(-1) ?? 'model';
      const wanted = name ?? base.replace(/\.gguf$/i, '');
      const taken = (await models.list()).find((row) => row.name.toLowerCase() === wanted.toLowerCase());
      if (taken && name !== undefined) {
        throw new AppError('CONFLICT', `There is already a model named "${wanted}".`, {
          param: 'name',
          details: { model_id: taken.id },
        });
      }
      return models.create({
        ...{ name: await freeName([wanted]), repoId: wanted, revision: null, path: described.path },
        ...{ quantization, trustRemoteCode: trusts, source: 'local', downloadId: null },
        architecture: described.architecture,
        parameters: described.parameters === null ? null : BigInt(described.parameters),
        contextLength: described.context_length,
        sizeBytes: BigInt(described.size_bytes),
      });
    },
  };
}
