/** Every failure a call can end in, and what a person is told about it. Nobody matches on message text. */

export type ErrorAction = 'retry' | 'reconnect' | 'attach' | 'load' | 'shorten' | 'adjust' | 'key' | 'none';

export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly code: string,
    message: string,
    readonly status = 0,
    readonly details: Record<string, unknown> = {},
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
  }
}

interface Advice {
  /** One sentence, or null where the server's own sentence says it better. */
  sentence: string | null;
  action: ErrorAction;
}

const ADVICE: Record<string, Advice> = {
  UNAUTHORIZED: { sentence: 'This server asks for an API key.', action: 'key' },
  FORBIDDEN: { sentence: 'This API key may not do that.', action: 'key' },
  NETWORK_ERROR: { sentence: 'The server cannot be reached.', action: 'reconnect' },
  TIMEOUT: { sentence: 'The server took too long to answer.', action: 'retry' },
  STREAM_INTERRUPTED: { sentence: 'The answer was cut off before it ended.', action: 'retry' },
  PAGE_ERROR: { sentence: 'Something went wrong on this page.', action: 'retry' },
  BAD_RESPONSE: { sentence: 'The server answered with something unexpected.', action: 'retry' },
  MODEL_NOT_LOADED: { sentence: 'No model is ready to answer yet.', action: 'load' },
  MODEL_LOADING: { sentence: 'The model is still loading.', action: 'retry' },
  MODEL_NOT_FOUND: { sentence: 'That model is not on this server.', action: 'load' },
  SAE_NOT_ATTACHED: { sentence: 'No SAE is attached, so there is nothing to steer with.', action: 'attach' },
  SAE_NOT_FOUND: { sentence: 'That SAE is not on this server.', action: 'attach' },
  INVALID_FEATURE_INDEX: { sentence: null, action: 'adjust' },
  CONTEXT_LENGTH_EXCEEDED: {
    sentence: 'The conversation no longer fits the model’s context.',
    action: 'shorten',
  },
  QUEUE_FULL: { sentence: 'The server is busy; its queue is full.', action: 'retry' },
  SIDECAR_UNAVAILABLE: { sentence: 'The model process is restarting.', action: 'retry' },
  SHUTTING_DOWN: { sentence: 'The server is shutting down.', action: 'reconnect' },
  OUT_OF_MEMORY: { sentence: 'There is not enough memory for this request.', action: 'shorten' },
  INSUFFICIENT_MEMORY: { sentence: 'There is not enough memory for this.', action: 'none' },
  DEADLINE_EXCEEDED: { sentence: 'The request waited too long.', action: 'retry' },
  ENGINE_ERROR: { sentence: 'The engine failed while answering.', action: 'retry' },
  INTERNAL_ERROR: { sentence: 'Something went wrong on the server.', action: 'retry' },
};

const NEXT_STEP: Record<ErrorAction, string> = {
  retry: 'Try again in a moment.',
  reconnect: 'Check that miLLM is running; this page reconnects by itself.',
  attach: 'Attach an SAE, then try again.',
  load: 'Load a model, then try again.',
  shorten: 'Start a new conversation or ask for fewer tokens.',
  adjust: 'Choose another value and try again.',
  key: 'Enter one that may, in the settings.',
  none: '',
};

export interface Explanation {
  sentence: string;
  nextStep: string;
  canRetry: boolean;
}

export function explain(error: ApiError): Explanation {
  const advice = ADVICE[error.code] ?? { sentence: null, action: 'retry' as const };
  return {
    sentence: advice.sentence ?? asSentence(error.message),
    nextStep: NEXT_STEP[advice.action],
    canRetry: advice.action !== 'none' && advice.action !== 'key',
  };
}

/** Anything thrown by `fetch`, made an ApiError. An abort is not a failure and passes through. */
export function asApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof DOMException && thrown.name === 'TimeoutError') {
    return new ApiError('TIMEOUT', 'No answer in time.');
  }
  return new ApiError('NETWORK_ERROR', thrown instanceof Error ? thrown.message : String(thrown));
}

export function isAbort(thrown: unknown): boolean {
  return thrown instanceof DOMException && thrown.name === 'AbortError';
}

function asSentence(message: string): string {
  const text = message.trim() || 'The request failed.';
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
