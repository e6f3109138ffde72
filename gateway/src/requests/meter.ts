// Counts what a request's generations cost, while their events pass by on the way to the client. One request may start
// several: their ids begin with the request's own.
import { toAppError } from '../errors.ts';
import type { Generation, InferenceClient } from '../inference/client.ts';
import type { OutputEvent } from '../inference/contract.ts';

export interface RequestAccount {
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  finishReason: string | null;
  errorCode: string | null;
  ttftMs: number | null;
}

type Generate = InferenceClient['generate'];

/** Answers that were never logged are forgotten after so many others. */
const mostOpen = 2_000;

export function requestMeter(now: () => number = () => performance.now()) {
  const accounts = new Map<string, RequestAccount>();

  function accountOf(requestId: string): RequestAccount {
    const known = accounts.get(requestId);
    if (known) return known;
    const account: RequestAccount = {
      ...{ promptTokens: 0, completionTokens: 0, cachedTokens: 0 },
      ...{ finishReason: null, errorCode: null, ttftMs: null },
    };
    accounts.set(requestId, account);
    const oldest = accounts.keys().next().value;
    if (accounts.size > mostOpen && oldest !== undefined) accounts.delete(oldest);
    return account;
  }

  async function* counted(
    events: Generation['events'],
    account: RequestAccount,
    startedAt: number,
  ): Generation['events'] {
    try {
      for await (const event of events) {
        count(event, account, now() - startedAt);
        yield event;
      }
    } catch (thrown) {
      account.errorCode = toAppError(thrown).code;
      throw thrown;
    }
  }

  return {
    /** The same function, counting. `requestId` is the caller's, whatever the generation is called. */
    metered:
      (generate: Generate): Generate =>
      async (request, options = {}) => {
        const account = accountOf(options.requestId ?? request.request_id);
        const startedAt = now();
        try {
          const { accepted, events } = await generate(request, options);
          account.errorCode = null; // a second try may have gone well
          return { accepted, events: counted(events, account, startedAt) };
        } catch (thrown) {
          account.errorCode = toAppError(thrown).code;
          throw thrown;
        }
      },

    take(requestId: string): RequestAccount | null {
      const account = accounts.get(requestId) ?? null;
      accounts.delete(requestId);
      return account;
    },
  };
}

function count(event: OutputEvent, account: RequestAccount, elapsedMs: number): void {
  if (event.type === 'delta') account.ttftMs ??= elapsedMs;
  if (event.type === 'finish') account.finishReason ??= event.finish_reason;
  if (event.type !== 'done') return;
  account.promptTokens += event.prompt_tokens;
  account.completionTokens += event.completion_tokens;
  account.cachedTokens += event.cached_tokens;
}
