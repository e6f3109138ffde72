import { isDeepStrictEqual } from 'node:util';
import { AppError } from '../errors.ts';
import type { DesiredRepository } from '../desired.ts';
import { isComing, percent } from '../downloads/progress.ts';
import type { Progress } from '../downloads/progress.ts';
import type { DownloadService } from '../downloads/service.ts';
import type { InferenceClient } from '../inference/client.ts';
import type { AttachedSae } from '../inference/contract.ts';
import type { Runtime } from '../inference/runtime.ts';
import type { ModelRepository } from '../models/repository.ts';
import type { KnownSae } from '../profiles/binding.ts';
import { compatibility } from './compatibility.ts';
import type { Compatibility } from './compatibility.ts';
import type { SaeRepository, SaeRow } from './repository.ts';

export interface SaeView {
  row: SaeRow;
  attached: AttachedSae | null;
  modelName: string | null;
  error: string | null;
  isDownloading: boolean;
  progress: number;
}

export interface SaeServiceOptions {
  saes: SaeRepository;
  models: ModelRepository;
  desired: DesiredRepository;
  runtime: Runtime;
  /** What is known of a download, by its id. */
  download?: (id: string | null) => Progress | null;
}

export interface Placement {
  layer?: number | undefined;
  hook?: string | undefined;
}

export type SaeService = ReturnType<typeof saeService>;

export function saeService({ saes, models, desired, runtime, download = () => null }: SaeServiceOptions) {
  const attachedNow = (id: string) => runtime.state()?.saes.find((sae) => sae.sae_id === id) ?? null;
  let lastTurn: Promise<unknown> = Promise.resolve();

  /** The list of what should be attached is read and written by one at a time. */
  function inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = lastTurn.then(action, action);
    lastTurn = turn.catch(() => undefined);
    return turn;
  }

  async function view(row: SaeRow): Promise<SaeView> {
    const model = row.modelId === null ? null : await models.find(row.modelId);
    const attached = attachedNow(row.id);
    const coming = row.path === null ? download(row.downloadId) : null;
    const isDownloading = coming !== null && isComing(coming.state);
    const whyNot = coming && !isDownloading ? (coming.error?.message ?? `The download was ${coming.state}.`) : null;
    const error = attached ? null : (runtime.saeError(row.id)?.message ?? row.error ?? whyNot);
    return {
      row,
      attached,
      modelName: model?.name ?? null,
      error,
      isDownloading,
      progress: coming ? percent(coming) : 100,
    };
  }

  async function find(id: string): Promise<SaeRow> {
    const row = await saes.find(id);
    if (!row) throw new AppError('SAE_NOT_FOUND', `There is no SAE "${id}".`);
    return row;
  }

  /** What only the sidecar knew of it stays known when it is detached. */
  async function remember(row: SaeRow): Promise<void> {
    const seen = attachedNow(row.id);
    if (!seen) return;
    const { architecture, d_in: dIn, d_sae: dSae, quality = null, strengths = [] } = seen;
    // An override moved it; where it was trained is not known then.
    const place = row.overrides === null ? { layer: seen.layer, hook: seen.hook } : {};
    const isFirst = row.dIn === null || row.architecture === null;
    const info = { ...(row.info as object | null), ...(quality && { quality }), strengths };
    // A written row is a new version to whoever keeps its labels.
    if (!isFirst && isDeepStrictEqual(info, row.info)) return;
    await saes.update(row.id, { ...(isFirst && { architecture, dIn, dSae, ...place }), info });
  }

  async function check(row: SaeRow, layer: number | null): Promise<Compatibility> {
    const { id, path, dIn, modelId } = row;
    const sae = { id, isHere: path !== null, dIn: attachedNow(id)?.d_in ?? dIn, layer: row.layer, modelId };
    return compatibility(sae, runtime.state()?.model ?? null, layer);
  }

  async function detachNow(row: SaeRow): Promise<void> {
    const { saeIds } = await desired.get();
    await remember(row);
    await desired.update({ saeIds: saeIds.filter((known) => known !== row.id) });
    await runtime.kick();
  }

  async function attach(id: string, { layer, hook }: Placement): Promise<SaeView> {
    const row = await find(id);
    if (row.path === null) throw new AppError('CONFLICT', `The SAE "${id}" is not downloaded yet.`);
    if (!runtime.state()?.model) throw new AppError('MODEL_NOT_LOADED', 'Load a model before attaching an SAE.');
    const { errors, warnings } = await check(row, layer ?? null);
    if (errors.length > 0) {
      throw new AppError('SAE_INCOMPATIBLE', errors.join(' '), { details: { errors, warnings } });
    }
    const isPlaced = layer !== undefined || hook !== undefined;
    if (isPlaced && attachedNow(id)) await detachNow(row); // an attached SAE moves only through being detached
    if (isPlaced) {
      const overrides = { ...(layer !== undefined && { layer }), ...(hook !== undefined && { hook }) };
      await saes.update(id, { overrides });
    }
    const { saeIds } = await desired.get();
    if (!saeIds.includes(id)) await desired.update({ saeIds: [...saeIds, id] });
    runtime.forgetFailures(`sae:${id}`);
    await runtime.kick();
    const refused = runtime.saeError(id);
    if (refused) {
      await desired.update({ saeIds });
      throw refused;
    }
    await remember(await find(id));
    return view(await find(id));
  }

  return {
    list: async () => Promise.all((await saes.list()).map(view)),
    get: async (id: string) => view(await find(id)),
    view,

    /** Every SAE as profiles are bound to it. */
    async known(): Promise<KnownSae[]> {
      return (await saes.list()).map((row) => {
        const attached = attachedNow(row.id);
        const repoPath = (row.info as { repo_path?: unknown } | null)?.repo_path;
        return {
          id: row.id,
          repoId: row.repoId,
          repoPath: typeof repoPath === 'string' ? repoPath : null,
          layer: attached?.layer ?? row.layer,
          nFeatures: attached?.d_sae ?? row.dSae,
          dModel: attached?.d_in ?? row.dIn,
          hook: attached?.hook ?? row.hook,
          attached: attached !== null,
        };
      });
    },

    compatibility: async (id: string, layer: number | null) => check(await find(id), layer),
    attach: (id: string, placement: Placement) => inTurn(() => attach(id, placement)),

    detach: (id: string): Promise<SaeView> =>
      inTurn(async () => {
        const row = await find(id);
        const { saeIds } = await desired.get();
        if (!saeIds.includes(id) && !attachedNow(id)) {
          throw new AppError('SAE_NOT_ATTACHED', `The SAE "${id}" is not attached.`);
        }
        await detachNow(row);
        return view(await find(id));
      }),

    /** Deletes it with its labels; an attached one is refused, and what was downloaded is freed on disk. */
    remove: (id: string, downloads: DownloadService, client: Pick<InferenceClient, 'deleteFiles'>) =>
      inTurn(async () => {
        const row = await find(id);
        const { saeIds } = await desired.get();
        // Wanted counts as attached: what the sidecar just finished is not seen at once.
        if (attachedNow(id) || (saeIds.includes(id) && !runtime.saeError(id))) {
          throw new AppError('CONFLICT', `The SAE "${id}" is attached, or to be attached; detach it first.`);
        }
        if (saeIds.includes(id)) await desired.update({ saeIds: saeIds.filter((known) => known !== id) });
        const { downloadId, path } = row;
        const others = (await saes.list()).filter((other) => other.id !== id);
        const partial = await downloads.stop(downloadId);
        const place = path ?? partial;
        const isOurs = row.source === 'hub' && place !== null && !others.some((other) => other.path === place);
        const freed = isOurs ? (await client.deleteFiles({ path: place })).freed_bytes : 0;
        await saes.remove(id);
        if (downloadId !== null) await downloads.forget(downloadId);
        runtime.forgetFailures(`sae:${id}`);
        return { sae_id: id, freed_bytes: freed };
      }),
  };
}
