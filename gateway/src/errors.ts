// The one mapping from a condition to what each surface says of it.
import type { components } from '@millm/proto/inference';
import { isDatabaseAway, isNulRefused } from './storage/failures.ts';

/** The contract's codes, and those that only an HTTP edge can have. */
export type ErrorCode = components['schemas']['ErrorCode'] | EdgeCode;
type EdgeCode =
  | 'NOT_FOUND'
  | 'METHOD_NOT_ALLOWED'
  | 'PAYLOAD_TOO_LARGE'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'INVALID_JSON'
  | 'UNAUTHORIZED'
  | 'RATE_LIMITED'
  | 'FORBIDDEN'
  | 'DATABASE_UNAVAILABLE'
  | 'UNKNOWN_KIND'
  | 'SAE_SET_INCOMPLETE'
  | 'UNVALIDATED_CIRCUIT';

export type OpenAiErrorType =
  'invalid_request_error' | 'authentication_error' | 'rate_limit_error' | 'service_unavailable' | 'server_error';

interface CatalogueEntry {
  api: number;
  v1: number;
  v1Code: string;
  type: OpenAiErrorType;
  /** Seconds for Retry-After; null = the same request fails again, and clients are told so on 409 and 5xx. */
  retryAfterS: number | null;
}

const bad = (api: number, v1: number, v1Code: string): CatalogueEntry => ({
  api,
  v1,
  v1Code,
  type: 'invalid_request_error',
  retryAfterS: null,
});
const unavailable = (v1Code: string, retryAfterS: number, api = 503): CatalogueEntry => ({
  api,
  v1: 503,
  v1Code,
  type: 'service_unavailable',
  retryAfterS,
});

export const catalogue: Readonly<Record<ErrorCode, CatalogueEntry>> = {
  MODEL_NOT_FOUND: bad(404, 404, 'model_not_found'),
  SAE_NOT_FOUND: bad(404, 404, 'sae_not_found'),
  PROFILE_NOT_FOUND: bad(404, 404, 'profile_not_found'),
  NOT_FOUND: bad(404, 404, 'unknown_url'),
  METHOD_NOT_ALLOWED: bad(405, 405, 'method_not_allowed'),
  PAYLOAD_TOO_LARGE: bad(413, 413, 'request_too_large'),
  UNSUPPORTED_MEDIA_TYPE: bad(415, 415, 'unsupported_media_type'),
  INVALID_JSON: bad(422, 400, 'invalid_json'),
  UNAUTHORIZED: bad(401, 401, 'invalid_api_key'),
  FORBIDDEN: bad(403, 403, 'forbidden'),
  UNKNOWN_KIND: bad(422, 400, 'unknown_kind'),
  SAE_SET_INCOMPLETE: bad(422, 422, 'sae_set_incomplete'),
  UNVALIDATED_CIRCUIT: bad(409, 409, 'unvalidated_circuit'),
  SAE_NOT_ATTACHED: bad(400, 400, 'sae_not_attached'),
  INVALID_FEATURE_INDEX: bad(400, 400, 'invalid_feature_index'),
  VALIDATION_ERROR: bad(422, 400, 'invalid_value'),
  CONTEXT_LENGTH_EXCEEDED: bad(422, 400, 'context_length_exceeded'),
  INVALID_CHAT_TEMPLATE_INPUT: bad(422, 400, 'invalid_chat_template_input'),
  UNSUPPORTED_VALUE: bad(422, 400, 'unsupported_value'),
  CONFLICT: bad(409, 409, 'conflict'),
  MODEL_LOCKED: bad(409, 409, 'model_locked'),
  PROFILE_INCOMPATIBLE: bad(409, 409, 'profile_incompatible'),
  SAE_INCOMPATIBLE: bad(409, 409, 'sae_incompatible'),
  MODEL_INCOMPATIBLE: bad(409, 409, 'model_incompatible'),
  GATED_REPOSITORY: bad(403, 403, 'gated_repository'),
  DOWNLOAD_FAILED: { api: 502, v1: 502, v1Code: 'download_failed', type: 'server_error', retryAfterS: 10 },
  INSUFFICIENT_MEMORY: { api: 507, v1: 500, v1Code: 'out_of_memory', type: 'server_error', retryAfterS: null },
  MODEL_NOT_LOADED: unavailable('model_loading', 5, 400),
  SIDECAR_UNAVAILABLE: unavailable('sidecar_unavailable', 5),
  SHUTTING_DOWN: unavailable('shutting_down', 10),
  DATABASE_UNAVAILABLE: unavailable('database_unavailable', 5),
  QUEUE_FULL: { api: 503, v1: 429, v1Code: 'queue_full', type: 'rate_limit_error', retryAfterS: 5 },
  RATE_LIMITED: { api: 429, v1: 429, v1Code: 'rate_limit_exceeded', type: 'rate_limit_error', retryAfterS: 60 },
  DEADLINE_EXCEEDED: { api: 504, v1: 504, v1Code: 'deadline_exceeded', type: 'server_error', retryAfterS: null },
  INTERNAL_ERROR: { api: 500, v1: 500, v1Code: 'engine_error', type: 'server_error', retryAfterS: 1 },
};

export interface ErrorOptions {
  param?: string | null;
  details?: Record<string, unknown>;
  /** A finer code on /v1 than the catalogue's: `missing_required_parameter`, `invalid_type`, … */
  v1Code?: string;
  headers?: Record<string, string>;
  cause?: unknown;
}

export class AppError extends Error {
  readonly code: ErrorCode;
  readonly param: string | null;
  readonly details: Record<string, unknown>;
  readonly v1Code: string | undefined;
  readonly headers: Record<string, string>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.param = options.param ?? null;
    this.details = options.details ?? {};
    this.v1Code = options.v1Code;
    this.headers = options.headers ?? {};
  }

  /** The same failure, of a field that the client knows by another name. */
  withParam(param: string): AppError {
    const { details, headers, v1Code } = this;
    return new AppError(this.code, this.message, {
      param,
      details,
      headers,
      cause: this,
      ...(v1Code !== undefined && { v1Code }),
    });
  }
}

/** What a failure nobody named looks like from outside. */
const unnamed: Readonly<Record<number, ErrorCode>> = {
  400: 'INVALID_JSON',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
};
const frameworkMessages: Readonly<Record<string, string>> = {
  INVALID_JSON: 'The request body is not valid JSON.',
  PAYLOAD_TOO_LARGE: 'The request body is larger than this server accepts.',
  UNSUPPORTED_MEDIA_TYPE: 'Send the request body as application/json.',
};

/** Any thrown value → AppError; what is not ours and not a client's fault becomes INTERNAL_ERROR with its text hidden. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (isDatabaseAway(error)) {
    return new AppError('DATABASE_UNAVAILABLE', 'The database does not answer; try again in a moment.', {
      cause: error,
    });
  }
  if (isNulRefused(error)) {
    return new AppError('VALIDATION_ERROR', 'Text may hold every character but NUL (U+0000).', { cause: error });
  }
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  const code = typeof status === 'number' ? unnamed[status] : undefined;
  if (code !== undefined) {
    return new AppError(code, frameworkMessages[code] ?? 'The request could not be read.', { cause: error });
  }
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new AppError('VALIDATION_ERROR', 'The request could not be read.', { cause: error });
  }
  return new AppError('INTERNAL_ERROR', 'The server failed while answering this request.', { cause: error });
}

export interface OpenAiErrorBody {
  error: { message: string; type: OpenAiErrorType; param: string | null; code: string };
}

export function renderOpenAi(error: AppError): {
  status: number;
  headers: Record<string, string>;
  body: OpenAiErrorBody;
} {
  const entry = catalogue[error.code];
  return {
    status: entry.v1,
    headers: { ...retryHeaders(entry, entry.v1), ...error.headers },
    body: {
      error: {
        message: error.message,
        type: entry.type,
        param: error.param,
        code: error.v1Code ?? entry.v1Code,
      },
    },
  };
}

export interface ApiErrorBody {
  success: false;
  data: null;
  error: { code: ErrorCode; message: string; details: Record<string, unknown> };
}

export function renderApi(error: AppError): { status: number; headers: Record<string, string>; body: ApiErrorBody } {
  const entry = catalogue[error.code];
  const details = error.param === null ? error.details : { param: error.param, ...error.details };
  return {
    status: entry.api,
    headers: { ...retryHeaders(entry, entry.api), ...error.headers },
    body: { success: false, data: null, error: { code: error.code, message: error.message, details } },
  };
}

/** Official clients retry 408, 409, 429 and 5xx unless told not to. */
function retryHeaders(entry: CatalogueEntry, status: number): Record<string, string> {
  if (status !== 409 && status !== 429 && status < 500) return {};
  if (entry.retryAfterS === null) return { 'x-should-retry': 'false' };
  return { 'retry-after': String(entry.retryAfterS) };
}
