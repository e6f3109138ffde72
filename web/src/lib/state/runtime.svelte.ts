/** What the server has and is doing now: models, SAEs, queue, memory. Refreshed as a whole; keeps the last known. */
import { asApiError, type ApiError } from '#lib/api/errors.ts';
import type { ActiveSteering, Model, Sae, SystemState } from '#lib/api/types.ts';

export interface RuntimeSource {
  listModels: () => Promise<Model[]>;
  listSaes: () => Promise<Sae[]>;
  getSystem: () => Promise<SystemState>;
  getSteering: () => Promise<ActiveSteering | null>;
}

export class Runtime {
  #models = $state.raw<Model[] | null>(null);
  #saes = $state.raw<Sae[] | null>(null);
  #system = $state.raw<SystemState | null>(null);
  #steering = $state.raw<ActiveSteering | null>(null);
  #error = $state.raw<ApiError | null>(null);
  #isRefreshing = false;
  readonly #source: RuntimeSource;

  constructor(source: RuntimeSource) {
    this.#source = source;
  }

  get models(): Model[] | null {
    return this.#models;
  }
  get saes(): Sae[] | null {
    return this.#saes;
  }
  get system(): SystemState | null {
    return this.#system;
  }
  get steering(): ActiveSteering | null {
    return this.#steering;
  }
  get error(): ApiError | null {
    return this.#error;
  }

  /** The model that answers: the loaded one, else one on its way, else one that a request would load. */
  readonly model = $derived.by(() => {
    const byStatus = (status: Model['status']) => this.#models?.find((model) => model.status === status);
    return (
      byStatus('loaded') ??
      byStatus('loading') ??
      byStatus('ready') ??
      byStatus('downloading') ??
      byStatus('error') ??
      null
    );
  });
  readonly canChat = $derived(this.model?.status === 'loaded' || this.model?.status === 'ready');
  readonly sae = $derived(this.#saes?.find((sae) => sae.attached) ?? null);

  async refresh(): Promise<void> {
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    const [models, saes, system, steering] = await Promise.allSettled([
      this.#source.listModels(),
      this.#source.listSaes(),
      this.#source.getSystem(),
      this.#source.getSteering(),
    ]);
    this.#isRefreshing = false;
    if (models.status === 'fulfilled') this.#models = models.value;
    if (saes.status === 'fulfilled') this.#saes = saes.value;
    // These two only enrich the page; a server without them is not in error.
    this.#system = system.status === 'fulfilled' ? system.value : null;
    this.#steering = steering.status === 'fulfilled' ? steering.value : null;
    const failed = [models, saes].find((result) => result.status === 'rejected');
    this.#error = failed ? asApiError(failed.reason) : null;
  }
}
