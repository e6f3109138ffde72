// Lets others see what a generation does, while its events pass by on the way to the client: the request log, metrics, traces.
import { toAppError } from '../errors.ts';
import type { AppError } from '../errors.ts';
import type { Generation, InferenceClient } from './client.ts';
import { ClientGone } from './client-signal.ts';
import type { OutputEvent } from './contract.ts';

export type Outcome = { kind: 'done' } | { kind: 'aborted' } | { kind: 'failed'; error: AppError };

export interface About {
  /** Of the client's request; one request may start several generations. */
  requestId: string;
  modelId: string;
  modelName: string;
}

export interface GenerationWatch {
  /** Sent along to the sidecar, so that its lines can be found from a trace. */
  traceparent?: string | undefined;
  event: (event: OutputEvent) => void;
  /** Called once, however it ends. */
  end: (outcome: Outcome) => void;
}

export type GenerationObserver = (about: About) => GenerationWatch;

type Generate = InferenceClient['generate'];

/** The same function, observed. `nameOf` answers what clients call a model. */
export function observed(
  generate: Generate,
  observers: readonly GenerationObserver[],
  nameOf: (modelId: string) => Promise<string>,
): Generate {
  return async (request, options = {}) => {
    const modelId = request.model_id;
    const about = { requestId: options.requestId ?? request.request_id, modelId, modelName: await nameOf(modelId) };
    const watches = observers.map((begin) => begin(about));
    const traceparent = watches.find((watch) => watch.traceparent !== undefined)?.traceparent;
    const end = (outcome: Outcome) => watches.forEach((watch) => watch.end(outcome));
    try {
      const { accepted, events } = await generate(request, { ...options, traceparent });
      return { accepted, events: passing(events, watches, end) };
    } catch (thrown) {
      end(outcomeOf(thrown));
      throw thrown;
    }
  };
}

async function* passing(
  events: Generation['events'],
  watches: readonly GenerationWatch[],
  end: (outcome: Outcome) => void,
): Generation['events'] {
  // Whoever leaves before `done` does not want the rest.
  let outcome: Outcome = { kind: 'aborted' };
  try {
    for await (const event of events) {
      for (const watch of watches) watch.event(event);
      if (event.type === 'done') outcome = { kind: 'done' };
      yield event;
    }
  } catch (thrown) {
    outcome = outcomeOf(thrown);
    throw thrown;
  } finally {
    end(outcome);
  }
}

function outcomeOf(thrown: unknown): Outcome {
  return thrown instanceof ClientGone ? { kind: 'aborted' } : { kind: 'failed', error: toAppError(thrown) };
}
