/** What the server has and is doing now: models, SAEs, queue, memory. Refreshed as a whole; keeps the last known. */
import type { SystemMetrics } from '@millm/proto/live';
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
  #modelLayers = $state<number | null>(null);
  #refreshing: Promise<void> | null = null;
  #isStale = false;
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
  /** Blocks of the loaded model, where a live view told. */
  get modelLayers(): number | null {
    return this.model?.status === 'loaded' ? this.#modelLayers : null;
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
  readonly attached = $derived(this.#saes?.filter((sae) => sae.attached) ?? []);
  /** The first attached one: what a page steers with until somebody chooses. */
  readonly sae = $derived(this.attached[0] ?? null);

  /** Asks for everything again. Called while it is asking, it asks once more afterwards: something has changed since. */
  refresh(): Promise<void> {
    if (this.#refreshing) {
      this.#isStale = true;
      return this.#refreshing;
    }
    this.#refreshing = this.#ask().finally(() => {
      this.#refreshing = null;
      if (!this.#isStale) return;
      this.#isStale = false;
      void this.refresh();
    });
    return this.#refreshing;
  }

  /** Memory and queue as the server just told, between two askings. */
  observe({ memory, queue, counters }: Pick<SystemMetrics, 'memory' | 'queue' | 'counters'>): void {
    if (this.#system) this.#system = { ...this.#system, memory, queue, counters };
  }

  /** The loaded model as the live views tell of it: more than the catalogue knows. */
  observeModel(model: { layers: number } | null): void {
    this.#modelLayers = model?.layers ?? null;
  }

  async #ask(): Promise<void> {
    const [models, saes, system, steering] = await Promise.allSettled([
      this.#source.listModels(),
      this.#source.listSaes(),
      this.#source.getSystem(),
      this.#source.getSteering(),
    ]);
    if (models.status === 'fulfilled') this.#models = models.value;
    if (saes.status === 'fulfilled') this.#saes = saes.value;
    // These two only enrich the page; a server without them is not in error.
    this.#system = system.status === 'fulfilled' ? system.value : null;
    this.#steering = steering.status === 'fulfilled' ? steering.value : null;
    const failed = [models, saes].find((result) => result.status === 'rejected');
    this.#error = failed ? asApiError(failed.reason) : null;
  }
}
