/** What stands between a person and an answer, from what the page knows of the server. Pure. */
import type { Connection } from './connection.svelte.ts';
import type { Runtime } from './runtime.svelte.ts';

export type Situation = 'ready' | 'waiting' | 'no-model' | 'no-sae' | 'unreachable';

export interface Readiness {
  /** Why nothing can be sent now, in a few words. */
  blocker: string | null;
  situation: Situation;
}

type Known = Pick<Runtime, 'models' | 'model' | 'canChat' | 'saes' | 'error'>;

export function readiness(runtime: Known, { phase }: Pick<Connection, 'phase'>, saeId: string | null): Readiness {
  const blocker = blockerOf(runtime, phase);
  if (!runtime.models) {
    return { blocker, situation: phase === 'offline' || runtime.error ? 'unreachable' : 'waiting' };
  }
  if (!runtime.model) return { blocker, situation: 'no-model' };
  if (blocker) return { blocker, situation: 'waiting' };
  return { blocker, situation: runtime.saes && !saeId ? 'no-sae' : 'ready' };
}

function blockerOf({ models, model, canChat }: Known, phase: Connection['phase']): string | null {
  if (phase === 'offline') return 'The server cannot be reached';
  if (!models) return 'Connecting…';
  if (!model) return 'Add a model first';
  if (model.status === 'loading') return 'The model is loading…';
  if (model.status === 'downloading') return 'The model is downloading…';
  return canChat ? null : 'The model failed to load';
}
