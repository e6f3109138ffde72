// Keeps what the sidecar says of itself, and brings the sidecar to the desired state after either of us restarts.
// It knows nothing of the database: the desired state is a function it is given.
import type { Logger } from '../log.ts';
import { toAppError } from '../errors.ts';
import type { AppError } from '../errors.ts';
import type { InferenceClient } from './client.ts';
import type { RuntimeState, Schemas } from './contract.ts';

export interface Desired {
  model: Schemas['LoadModelRequest'] | null;
  saes: Schemas['AttachSaeRequest'][];
}

interface Failure {
  error: AppError;
  retryAt: number;
  attempts: number;
}

export interface RuntimeOptions {
  client: Pick<InferenceClient, 'getState' | 'loadModel' | 'unloadModel' | 'attachSae' | 'detachSae'>;
  /** null = nobody ever asked for anything: the sidecar is left as it is. */
  readDesired: () => Promise<Desired | null>;
  log: Logger;
  intervalMs: number;
}

export type Runtime = ReturnType<typeof createRuntime>;

const firstRetryMs = 2_000;
const lastRetryMs = 60_000;

export function createRuntime({ client, readDesired, log, intervalMs }: RuntimeOptions) {
  let state: RuntimeState | null = null;
  let instanceId: string | null = null;
  let busyWith: { modelId: string | null; saeId: string | null } = { modelId: null, saeId: null };
  let isSettled = false;
  let isClosed = false;
  let pass: Promise<void> | null = null;
  let isPassWanted = false;
  let timer: NodeJS.Timeout | undefined;
  const failures = new Map<string, Failure>();
  /** Loads that were called off: their failure is none. */
  const abandoned = new Set<string>();
  const listeners = new Set<() => void>();

  const notify = () => listeners.forEach((listener) => listener());

  async function observe(): Promise<RuntimeState | null> {
    try {
      const seen = await client.getState();
      if (seen.instance_id !== instanceId) {
        if (instanceId !== null) failures.clear();
        instanceId = seen.instance_id;
        log.info({ event: 'sidecar:found', instance_id: instanceId }, 'sidecar found');
      }
      state = seen;
    } catch (error) {
      if (state !== null) log.warn({ event: 'sidecar:lost', err: error }, 'sidecar lost');
      state = null;
    }
    notify();
    return state;
  }

  async function converge(): Promise<void> {
    const seen = await observe();
    if (seen === null) return;
    const desired = await readDesired();
    if (desired === null) return;
    const isModelRight = await convergeModel(seen, desired.model);
    if (isModelRight && desired.model !== null) await convergeSaes(desired.saes);
  }

  async function convergeModel(seen: RuntimeState, wanted: Desired['model']): Promise<boolean> {
    if (wanted === null) {
      if (seen.model !== null) state = await client.unloadModel();
      return true;
    }
    if (seen.model?.model_id === wanted.model_id) return true;
    // Somebody's load is still running: look again in a moment rather than queue a second one behind it.
    if (seen.loading_model_id != null) return false;
    const isLoaded = await attempt(`model:${wanted.model_id}`, async () => {
      busyWith = { modelId: wanted.model_id, saeId: null };
      notify();
      const startedAt = performance.now();
      await client.loadModel(wanted);
      const seconds = (performance.now() - startedAt) / 1000;
      log.info({ event: 'model:loaded', model_id: wanted.model_id, seconds }, 'model loaded');
    });
    busyWith = { modelId: null, saeId: null };
    await observe();
    return isLoaded;
  }

  async function convergeSaes(wanted: Desired['saes']): Promise<void> {
    const attached = new Set(state?.saes.map((sae) => sae.sae_id));
    for (const saeId of attached) {
      if (!wanted.some((sae) => sae.sae_id === saeId)) {
        await attempt(`detach:${saeId}`, async () => void (await client.detachSae({ sae_id: saeId })));
      }
    }
    const missing = wanted.filter((sae) => !attached.has(sae.sae_id));
    for (const sae of missing) {
      await attempt(`sae:${sae.sae_id}`, async () => {
        busyWith = { modelId: null, saeId: sae.sae_id };
        await client.attachSae(sae);
        log.info({ event: 'sae:attached', sae_id: sae.sae_id }, 'SAE attached');
      });
    }
    busyWith = { modelId: null, saeId: null };
    if (missing.length > 0 || attached.size > wanted.length) await observe();
  }

  /** One try, unless the last one failed a moment ago. */
  async function attempt(key: string, action: () => Promise<void>): Promise<boolean> {
    const last = failures.get(key);
    if (last && last.retryAt > performance.now()) return false;
    try {
      await action();
      failures.delete(key);
      return true;
    } catch (thrown) {
      if (abandoned.delete(key)) return false;
      const error = toAppError(thrown);
      const attempts = (last?.attempts ?? 0) + 1;
      const delay = Math.min(firstRetryMs * 2 ** (attempts - 1), lastRetryMs);
      failures.set(key, { error, attempts, retryAt: performance.now() + delay });
      log.error({ event: 'sidecar:refused', what: key, code: error.code, err: error }, error.message);
      return false;
    }
  }

  function kick(): Promise<void> {
    if (isClosed) return Promise.resolve();
    isPassWanted = true;
    isSettled = false;
    pass ??= runPasses().finally(() => {
      pass = null;
      if (!isClosed) {
        clearTimeout(timer);
        timer = setTimeout(() => void tick(), intervalMs);
      }
    });
    return pass;
  }

  async function runPasses(): Promise<void> {
    while (isPassWanted && !isClosed) {
      isPassWanted = false;
      try {
        await converge();
      } catch (error) {
        log.error({ event: 'reconcile:failed', err: error }, 'reconciling failed');
      }
      isSettled = !isPassWanted && state !== null && state.loading_model_id == null;
      notify();
    }
  }

  /** A regular look, which does not make waiting requests doubt a settled state. */
  async function tick(): Promise<void> {
    if (isClosed) return;
    const before = isSettled;
    const looking = kick();
    isSettled = before && state !== null;
    await looking;
  }

  return {
    state: () => state,
    isReachable: () => state !== null,
    /** Everything asked for is done, or was refused. */
    isSettled: () => isSettled,
    loadingModelId: () => busyWith.modelId ?? state?.loading_model_id ?? null,
    modelError: (modelId: string) => failures.get(`model:${modelId}`)?.error ?? null,
    saeError: (saeId: string) => failures.get(`sae:${saeId}`)?.error ?? null,
    forgetFailures(key?: string) {
      if (key === undefined) failures.clear();
      else failures.delete(key);
    },
    kick,
    /** Calls off a load that is under way; the sidecar gives up between two stages of it. */
    async abandonLoad(modelId: string): Promise<void> {
      if (busyWith.modelId !== modelId) return;
      const key = `model:${modelId}`;
      abandoned.add(key);
      try {
        await client.unloadModel().catch((error: unknown) => {
          // A sidecar that ended instead, because the load hung, loads nothing any more either.
          if (toAppError(error).code !== 'SIDECAR_UNAVAILABLE') throw error;
        });
        await pass;
      } finally {
        abandoned.delete(key);
      }
    },
    /** The sidecar contradicted what we believe: believe nothing until we have looked again. */
    doubt() {
      isSettled = false;
      void kick();
    },
    /** True when the condition came true within the time; looks again at every change. */
    async waitUntil(condition: () => boolean, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
      if (condition()) return true;
      return new Promise((resolve, reject) => {
        const finish = (settle: () => void) => {
          clearTimeout(limit);
          listeners.delete(look);
          signal?.removeEventListener('abort', onAbort);
          settle();
        };
        const look = () => {
          if (condition()) finish(() => resolve(true));
        };
        const onAbort = () => finish(() => reject(signal?.reason as Error));
        const limit = setTimeout(() => finish(() => resolve(condition())), timeoutMs);
        listeners.add(look);
        signal?.addEventListener('abort', onAbort);
      });
    },
    start: () => kick(),
    /** Something happened in the sidecar: look now rather than at the next turn. */
    look: () => void tick(),
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}
