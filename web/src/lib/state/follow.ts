/** Lets the state of the page follow the server's live views; asking now and then goes on beside it. */
import type { Live } from '#lib/live/channels.ts';
import type { Metrics } from './metrics.svelte.ts';
import type { Runtime } from './runtime.svelte.ts';
import type { Transfers } from './transfers.svelte.ts';

export interface Followers {
  runtime: Pick<Runtime, 'refresh' | 'observe' | 'observeModel'>;
  transfers: Pick<Transfers, 'begin' | 'update' | 'refresh'>;
  metrics: Pick<Metrics, 'record'>;
}

/** One loading model says several things at once; one look at the server answers them all. */
const SETTLE_MS = 60;

export function follow(
  live: Pick<Live, 'system' | 'progress'>,
  { runtime, transfers, metrics }: Followers,
): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      void runtime.refresh();
      void transfers.refresh();
    }, SETTLE_MS);
  };
  const leaveSystem = live.system.join({
    'system:snapshot': ({ state, metrics: latest }) => {
      runtime.observeModel(state?.model ?? null);
      if (latest) {
        metrics.record(latest);
        runtime.observe(latest);
      }
      look();
    },
    'system:metrics': (latest) => {
      metrics.record(latest);
      runtime.observe(latest);
    },
    'system:sidecar': look,
    'model:loaded': ({ model }) => {
      runtime.observeModel(model);
      look();
    },
    'model:unloaded': () => {
      runtime.observeModel(null);
      look();
    },
    'model:load:progress': look,
    'model:load:complete': look,
    'model:load:error': look,
    'model:unload:complete': look,
    'sae:attached': look,
    'sae:detached': look,
    'steering:update': look,
  });
  const leaveProgress = live.progress.join({
    'progress:snapshot': ({ items }) => {
      transfers.begin(items);
      look();
    },
    'progress:update': (update) => {
      if (transfers.update(update)) look();
    },
  });
  return () => {
    clearTimeout(timer);
    leaveSystem();
    leaveProgress();
  };
}
