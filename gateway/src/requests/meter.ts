// Counts what a request's generations cost, for its line in the log. One request may start several.
import type { About, GenerationWatch } from '../inference/observed.ts';

export interface RequestAccount {
  modelName: string;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  finishReason: string | null;
  errorCode: string | null;
  /** From the start of its first generation. */
  ttftMs: number | null;
  startedAt: number;
}

/** Answers that were never logged are forgotten after so many others. */
const mostOpen = 2_000;

export function requestMeter(now: () => number = () => performance.now()) {
  const accounts = new Map<string, RequestAccount>();

  function accountOf({ requestId, modelName }: About): RequestAccount {
    const known = accounts.get(requestId);
    if (known) return known;
    const account: RequestAccount = {
      ...{ modelName, promptTokens: 0, completionTokens: 0, cachedTokens: 0 },
      ...{ finishReason: null, errorCode: null, ttftMs: null, startedAt: now() },
    };
    accounts.set(requestId, account);
    const oldest = accounts.keys().next().value;
    if (accounts.size > mostOpen && oldest !== undefined) accounts.delete(oldest);
    return account;
  }

  return {
    observe(about: About): GenerationWatch {
      const account = accountOf(about);
      account.errorCode = null; // a second try may go well
      return {
        event(event) {
          if (event.type === 'delta') account.ttftMs ??= now() - account.startedAt;
          if (event.type === 'finish') account.finishReason ??= event.finish_reason;
          if (event.type !== 'done') return;
          account.promptTokens += event.prompt_tokens;
          account.completionTokens += event.completion_tokens;
          account.cachedTokens += event.cached_tokens;
        },
        end(outcome) {
          if (outcome.kind === 'failed') account.errorCode = outcome.error.code;
        },
      };
    },

    take(requestId: string): RequestAccount | null {
      const account = accounts.get(requestId) ?? null;
      accounts.delete(requestId);
      return account;
    },
  };
}
