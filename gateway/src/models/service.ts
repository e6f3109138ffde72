// What a model's status is, and how a request gets the model it names: desired state first, then a bounded wait.
import { AppError } from '../errors.ts';
import type { DesiredRepository } from '../desired.ts';
import { isComing, percent } from '../downloads/progress.ts';
import type { Progress } from '../downloads/progress.ts';
import type { LoadedModel } from '../inference/contract.ts';
import type { Runtime } from '../inference/runtime.ts';
import type { ModelRepository, ModelRow } from './repository.ts';

export type ModelStatus = 'downloading' | 'ready' | 'loading' | 'loaded' | 'error';

export interface ModelView {
  row: ModelRow;
  status: ModelStatus;
  loaded: LoadedModel | null;
  error: string | null;
  /** Percent of its download; 100 when it is here. */
  progress: number;
}

export interface ModelServiceOptions {
  models: ModelRepository;
  desired: DesiredRepository;
  runtime: Runtime;
  waitMs: number;
  /** What is known of a download, by its id. */
  download?: (id: string | null) => Progress | null;
}

export type ModelService = ReturnType<typeof modelService>;

export function modelService({ models, desired, runtime, waitMs, download = () => null }: ModelServiceOptions) {
  const loadedNow = (row: ModelRow): LoadedModel | null => {
    const model = runtime.state()?.model;
    return model?.model_id === row.id ? model : null;
  };

  function view(row: ModelRow): ModelView {
    const loaded = loadedNow(row);
    const coming = row.path === null ? download(row.downloadId) : null;
    const failure = runtime.modelError(row.id)?.message ?? row.error ?? whyNotComing(coming);
    const status = coming && isComing(coming.state) ? 'downloading' : statusOf(row, loaded, failure);
    const progress = coming ? percent(coming) : status === 'ready' || status === 'loaded' ? 100 : 0;
    return { row, status, loaded, error: status === 'error' ? failure : null, progress };
  }

  function statusOf(row: ModelRow, loaded: LoadedModel | null, failure: string | null): ModelStatus {
    if (loaded) return 'loaded';
    if (runtime.loadingModelId() === row.id) return 'loading';
    if (failure !== null) return 'error';
    return row.status as ModelStatus;
  }

  async function get(id: string): Promise<ModelView> {
    const row = await models.find(id);
    if (!row) throw new AppError('MODEL_NOT_FOUND', `There is no model "${id}".`);
    return view(row);
  }

  /** Another model may only be replaced when it is not locked. */
  async function refuseWhenLocked(row: ModelRow): Promise<void> {
    const locked = (await models.list()).find((model) => model.locked && model.id !== row.id);
    if (!locked) return;
    throw new AppError('MODEL_LOCKED', `The model "${locked.name}" is locked, so "${row.name}" cannot be loaded.`, {
      param: 'model',
    });
  }

  async function want(row: ModelRow): Promise<void> {
    const { modelId } = await desired.get();
    if (modelId === row.id) return;
    await refuseWhenLocked(row);
    await desired.update({ modelId: row.id });
    runtime.forgetFailures(`model:${row.id}`);
  }

  return {
    view,
    get,
    list: async () => (await models.list()).map(view),

    async resolve(name: string): Promise<ModelRow> {
      const row = await models.findByName(name);
      if (row) return row;
      throw new AppError('MODEL_NOT_FOUND', `The model "${name}" does not exist on this server.`, { param: 'model' });
    },

    /** Resolves when the model is loaded, and with `withSaes` also everything that should be attached. */
    async ensureLoaded(row: ModelRow, options: { withSaes: boolean; signal?: AbortSignal }): Promise<LoadedModel> {
      const isReady = () => loadedNow(row) !== null && (!options.withSaes || runtime.isSettled());
      if (!isReady()) {
        await want(row);
        void runtime.kick();
        const isOver = () => isReady() || (runtime.isSettled() && runtime.modelError(row.id) !== null);
        await runtime.waitUntil(isOver, runtime.isReachable() ? waitMs : Math.min(waitMs, 2_000), options.signal);
      }
      const loaded = loadedNow(row);
      if (loaded) return loaded;
      const failure = runtime.modelError(row.id);
      if (failure && runtime.loadingModelId() === null) throw failure;
      if (!runtime.isReachable()) {
        throw new AppError('SIDECAR_UNAVAILABLE', 'The inference service is not reachable; it may be restarting.');
      }
      throw new AppError('MODEL_NOT_LOADED', `The model "${row.name}" is still loading.`);
    },

    async load(id: string): Promise<ModelView> {
      const { row } = await get(id);
      if (row.path === null) {
        throw new AppError('CONFLICT', `The model "${row.name}" is not downloaded yet.`);
      }
      await want(row);
      runtime.forgetFailures(`model:${row.id}`);
      void runtime.kick();
      return view(row);
    },

    async unload(id: string): Promise<ModelView> {
      const { row } = await get(id);
      if (row.locked) throw new AppError('MODEL_LOCKED', `The model "${row.name}" is locked.`);
      const { modelId } = await desired.get();
      if (modelId === row.id) await desired.update({ modelId: null });
      await Promise.all([runtime.kick(), runtime.abandonLoad(row.id)]);
      return view(row);
    },

    /** Stops what is under way: its download, or the wish to have it loaded. */
    async cancel(id: string, cancelDownload: (downloadId: string) => Promise<unknown>): Promise<ModelView> {
      const { row, status } = await get(id);
      if (status === 'downloading' && row.downloadId !== null) await cancelDownload(row.downloadId);
      else if (status === 'loading') {
        if (row.locked) throw new AppError('MODEL_LOCKED', `The model "${row.name}" is locked.`);
        if ((await desired.get()).modelId === row.id) await desired.update({ modelId: null });
        await Promise.all([runtime.kick(), runtime.abandonLoad(row.id)]);
      } else throw new AppError('CONFLICT', `Nothing to cancel: the model "${row.name}" is ${status}.`);
      return get(id);
    },

    /** Refuses what must not be deleted, and stops wanting it. */
    async release(id: string): Promise<ModelRow> {
      const { row, status } = await get(id);
      if (row.locked) throw new AppError('MODEL_LOCKED', `The model "${row.name}" is locked.`);
      // Wanted counts as loaded: what the sidecar just finished is not seen at once.
      const isWanted = (await desired.get()).modelId === row.id;
      if (status === 'loaded' || status === 'loading' || (isWanted && status !== 'error')) {
        throw new AppError('CONFLICT', `The model "${row.name}" is loaded, or to be loaded; unload it first.`);
      }
      if (isWanted) await desired.update({ modelId: null });
      runtime.forgetFailures(`model:${row.id}`);
      return row;
    },

    async setLocked(id: string, locked: boolean): Promise<ModelView> {
      const { row } = await get(id);
      if (locked) await refuseWhenLocked(row);
      await models.update(row.id, { locked });
      return get(id);
    },
  };
}

function whyNotComing(progress: Progress | null): string | null {
  if (progress === null || isComing(progress.state)) return null;
  return progress.error?.message ?? (progress.state === 'cancelled' ? 'The download was cancelled.' : null);
}
