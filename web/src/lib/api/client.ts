/** One call to the gateway: JSON in, the envelope's data out, or an ApiError. Knows no endpoint. */
import { authorization } from './credentials.ts';
import { ApiError, asApiError, isAbort } from './errors.ts';

export type Fetch = typeof globalThis.fetch;

export interface RequestOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, in place of a body: a file, or JSON whose exact text counts. */
  file?: Blob | string;
  signal?: AbortSignal | undefined;
  timeoutMs?: number;
  fetch?: Fetch;
}

const DEFAULT_TIMEOUT_MS = 10_000;

export async function request<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const { status, payload } = await call(path, options);
  return unwrap<T>(payload, status);
}

/** The whole answer, for the few that say something beside their data. */
export async function requestWhole<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const { status, payload } = await call(path, options);
  if (!isRecord(payload)) throw new ApiError('BAD_RESPONSE', 'The answer is not JSON.', status);
  return payload as T;
}

async function call(path: string, options: RequestOptions): Promise<{ status: number; payload: unknown }> {
  const { method = 'GET', body, file, signal, timeoutMs = DEFAULT_TIMEOUT_MS, fetch = globalThis.fetch } = options;
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response;
  let payload: unknown;
  try {
    response = await fetch(path, {
      method,
      keepalive: method === 'DELETE', // it may be the last thing a page does
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      headers: { ...authorization(), ...contentType(options) },
      body: file ?? (body === undefined ? null : JSON.stringify(body)),
    });
    payload = await readJson(response);
  } catch (thrown) {
    if (isAbort(thrown)) throw thrown;
    throw asApiError(thrown);
  }
  if (!response.ok) throw errorFromBody(response, payload);
  return { status: response.status, payload };
}

function contentType({ body, file }: RequestOptions): Record<string, string> {
  if (file instanceof Blob) return { 'content-type': 'application/octet-stream' };
  return body === undefined && file === undefined ? {} : { 'content-type': 'application/json' };
}

/** Understands both error shapes: the `/api` envelope and the `/v1` error object. */
export function errorFromBody(response: Response, body: unknown): ApiError {
  const error = isRecord(body) && isRecord(body.error) ? body.error : {};
  const code = typeof error.code === 'string' ? error.code : codeForStatus(response.status);
  const message = typeof error.message === 'string' ? error.message : `The server answered ${response.status}.`;
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  return new ApiError(
    code.toUpperCase(),
    message,
    response.status,
    isRecord(error.details) ? error.details : {},
    Number.isFinite(retryAfter) ? retryAfter : null,
  );
}

export async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  if (!text) return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A path whose parts may hold any character: `path\`/api/models/${id}/load\``. */
export function path(parts: TemplateStringsArray, ...values: (string | number)[]): string {
  return String.raw({ raw: parts }, ...values.map((value) => encodeURIComponent(value)));
}

/** `?a=1&b=2` of what is given; nothing for what is not. */
export function queryOf(values: Record<string, string | number | boolean | null | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return query ? `?${query}` : '';
}

function unwrap<T>(payload: unknown, status: number): T {
  if (!isRecord(payload)) throw new ApiError('BAD_RESPONSE', 'The answer is not JSON.', status);
  // Health is plain JSON for orchestrators; everything else under /api wears the envelope.
  return ('success' in payload && 'data' in payload ? payload.data : payload) as T;
}

function codeForStatus(status: number): string {
  if (status === 404) return 'NOT_FOUND';
  if (status === 429) return 'QUEUE_FULL';
  if (status === 502 || status === 504) return 'NETWORK_ERROR';
  if (status === 503) return 'SIDECAR_UNAVAILABLE';
  return 'INTERNAL_ERROR';
}
