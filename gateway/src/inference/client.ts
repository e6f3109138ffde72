// The only file that knows the sidecar's address and wire: one function per operationId of the contract.
import { Agent, request as httpRequest } from 'undici';
import type { Dispatcher } from 'undici';
import { AppError } from '../errors.ts';
import { errorBody, generateEvent } from './contract.ts';
import type { AcceptedEvent, GenerateEvent, GenerateRequest, OutputEvent, RuntimeState, Schemas } from './contract.ts';
import { feedEvent } from './feed-contract.ts';
import type { FeedEvent } from './feed-contract.ts';
import { sseData } from './sse.ts';

export interface Generation {
  accepted: AcceptedEvent;
  /** Ends after `done`; a failure after `accepted` is thrown. Leaving the loop early cancels the generation. */
  events: AsyncGenerator<OutputEvent, void, undefined>;
}

export interface CallOptions {
  requestId?: string | undefined;
  signal?: AbortSignal | undefined;
  /** The trace that this call belongs to, in the words of W3C Trace Context. */
  traceparent?: string | undefined;
}

/** Words, or a release and an id exactly. */
export interface RegistryQuery {
  search?: string | undefined;
  release?: string | undefined;
  sae_id?: string | undefined;
  skip?: number;
  limit?: number;
}

export type InferenceClient = ReturnType<typeof inferenceClient>;

export interface ClientOptions {
  url: string;
  loadTimeoutMs: number;
  streamIdleTimeoutMs: number;
}

const quickMs = 5_000;
const workMs = 300_000;
/** Takes effect between two steps of the engine, and a step of a busy CPU takes long. */
const monitorMs = 30_000;
/** The sidecar says something at least every ten seconds. */
const feedSilenceMs = 45_000;

export function inferenceClient({ url, loadTimeoutMs, streamIdleTimeoutMs }: ClientOptions) {
  const dispatcher = new Agent({ connections: null, keepAliveTimeout: 30_000, connect: { timeout: 2_000 } });

  async function send(
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    body: unknown,
    options: CallOptions & { timeoutMs: number },
  ): Promise<Dispatcher.ResponseData> {
    const headers: Record<string, string> = {};
    if (body !== undefined) headers['content-type'] = 'application/json';
    if (options.requestId !== undefined) headers['x-request-id'] = options.requestId;
    if (options.traceparent !== undefined) headers['traceparent'] = options.traceparent;
    try {
      const response = await httpRequest(url + path, {
        method,
        headers,
        dispatcher,
        headersTimeout: options.timeoutMs,
        bodyTimeout: options.timeoutMs,
        body: body === undefined ? null : JSON.stringify(body),
        ...(options.signal && { signal: options.signal }),
      });
      if (response.statusCode < 400) return response;
      throw refusal(response.statusCode, await response.body.text());
    } catch (error) {
      throw transportError(error, options.signal);
    }
  }

  async function call<T>(
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    body: unknown,
    options: CallOptions & { timeoutMs: number },
  ): Promise<T> {
    const response = await send(method, path, body, options);
    try {
      return (await response.body.json()) as T;
    } catch (error) {
      throw transportError(error, options.signal);
    }
  }

  async function generate(request: GenerateRequest, options: CallOptions = {}): Promise<Generation> {
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    const response = await send('POST', '/generate', request, {
      requestId: request.request_id,
      traceparent: options.traceparent,
      timeoutMs: streamIdleTimeoutMs,
      signal,
    });
    const events = parseEvents(response.body, signal);
    try {
      const first = await events.next();
      if (first.done) throw new AppError('SIDECAR_UNAVAILABLE', 'The inference service closed the stream.');
      if (first.value.type === 'error') throw fromContract(first.value.error);
      if (first.value.type !== 'accepted') throw unexpected(`a stream that starts with ${first.value.type}`);
      return { accepted: first.value, events: outputEvents(events, () => stop.abort()) };
    } catch (error) {
      stop.abort();
      throw error;
    }
  }

  return {
    url,
    getHealth: (options: CallOptions = {}) =>
      call<Schemas['Health']>('GET', '/health', undefined, { ...options, timeoutMs: quickMs }),
    getState: (options: CallOptions = {}) =>
      call<RuntimeState>('GET', '/state', undefined, { ...options, timeoutMs: quickMs }),
    inspectModel: (body: Schemas['InspectModelRequest'], options: CallOptions = {}) =>
      call<Schemas['ModelDescription']>('POST', '/models/inspect', body, { ...options, timeoutMs: workMs }),
    loadModel: (body: Schemas['LoadModelRequest'], options: CallOptions = {}) =>
      call<Schemas['LoadedModel']>('POST', '/models/load', body, { ...options, timeoutMs: loadTimeoutMs }),
    unloadModel: (options: CallOptions = {}) =>
      call<RuntimeState>('POST', '/models/unload', undefined, { ...options, timeoutMs: workMs }),
    inspectSae: (body: Schemas['InspectSaeRequest'], options: CallOptions = {}) =>
      call<Schemas['SaeDescription']>('POST', '/saes/inspect', body, { ...options, timeoutMs: workMs }),
    attachSae: (body: Schemas['AttachSaeRequest'], options: CallOptions = {}) =>
      call<Schemas['AttachedSae']>('POST', '/saes/attach', body, { ...options, timeoutMs: loadTimeoutMs }),
    detachSae: (body: Schemas['DetachSaeRequest'], options: CallOptions = {}) =>
      call<RuntimeState>('POST', '/saes/detach', body, { ...options, timeoutMs: workMs }),
    getFeature: (saeId: string, index: number, topK: number, options: CallOptions = {}) =>
      call<Schemas['FeatureGeometry']>(
        'GET',
        `/saes/${encodeURIComponent(saeId)}/features/${index}?top_k=${topK}`,
        undefined,
        { ...options, timeoutMs: workMs },
      ),
    generate,
    embed: (body: Schemas['EmbedRequest'], options: CallOptions = {}) =>
      call<Schemas['EmbedResponse']>('POST', '/embeddings', body, { ...options, timeoutMs: workMs }),
    tokenize: (body: Schemas['TokenizeRequest'], options: CallOptions = {}) =>
      call<Schemas['TokenizeResponse']>('POST', '/tokenize', body, { ...options, timeoutMs: workMs }),
    detokenize: (body: Schemas['DetokenizeRequest'], options: CallOptions = {}) =>
      call<Schemas['DetokenizeResponse']>('POST', '/detokenize', body, { ...options, timeoutMs: workMs }),
    readActivations: (body: Schemas['ReadActivationsRequest'], options: CallOptions = {}) =>
      call<Schemas['ReadActivationsResponse']>('POST', '/activations', body, { ...options, timeoutMs: workMs }),
    contrastActivations: (body: Schemas['ContrastRequest'], options: CallOptions = {}) =>
      call<Schemas['ContrastResponse']>('POST', '/activations/contrast', body, { ...options, timeoutMs: workMs }),
    searchRegistry: (
      { search = '', release, sae_id, skip = 0, limit = 50 }: RegistryQuery,
      options: CallOptions = {},
    ) => {
      const query = new URLSearchParams({ search, skip: String(skip), limit: String(limit) });
      if (release !== undefined) query.set('release', release);
      if (sae_id !== undefined) query.set('sae_id', sae_id);
      return call<Schemas['RegistryPage']>('GET', `/hub/registry?${query.toString()}`, undefined, {
        ...options,
        timeoutMs: workMs,
      });
    },
    previewRepository: (body: Schemas['PreviewRepositoryRequest'], options: CallOptions = {}) =>
      call<Schemas['RepositoryPreview']>('POST', '/hub/preview', body, { ...options, timeoutMs: workMs }),
    listDownloads: (options: CallOptions = {}) =>
      call<Schemas['DownloadState'][]>('GET', '/downloads', undefined, { ...options, timeoutMs: quickMs }),
    startDownload: (body: Schemas['StartDownloadRequest'], options: CallOptions = {}) =>
      call<Schemas['DownloadState']>('POST', '/downloads', body, { ...options, timeoutMs: workMs }),
    cancelDownload: (downloadId: string, options: CallOptions = {}) =>
      call<Schemas['DownloadState']>('POST', `/downloads/${encodeURIComponent(downloadId)}/cancel`, undefined, {
        ...options,
        timeoutMs: workMs,
      }),
    deleteFiles: (body: Schemas['DeleteFilesRequest'], options: CallOptions = {}) =>
      call<Schemas['DeletedFiles']>('POST', '/files/delete', body, { ...options, timeoutMs: workMs }),
    setMonitor: (body: Schemas['MonitorState'], options: CallOptions = {}) =>
      call<Schemas['MonitorState']>('PUT', '/monitor', body, { ...options, timeoutMs: monitorMs }),
    /** What came after the cursor, or everything from a snapshot on; ends or throws when the connection does. */
    async feed(
      cursor: { instanceId: string; afterSeq: number } | null,
      options: CallOptions & { signal: AbortSignal },
    ): Promise<AsyncGenerator<FeedEvent>> {
      const query =
        cursor === null ? '' : `?instance_id=${encodeURIComponent(cursor.instanceId)}&after_seq=${cursor.afterSeq}`;
      const response = await send('GET', `/feed${query}`, undefined, { ...options, timeoutMs: feedSilenceMs });
      return parseFeed(response.body, options.signal);
    },
    close: () => dispatcher.destroy(),
  };
}

async function* parseFeed(body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<FeedEvent> {
  try {
    for await (const data of sseData(body)) {
      const parsed = feedEvent.safeParse(JSON.parse(data));
      if (!parsed.success) throw unexpected(`a feed event outside the contract: ${parsed.error.message}`);
      yield parsed.data;
    }
  } catch (error) {
    throw transportError(error, signal);
  }
}

async function* parseEvents(body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
  try {
    for await (const data of sseData(body)) yield parseEvent(data);
  } catch (error) {
    throw transportError(error, signal);
  }
}

function parseEvent(data: string): GenerateEvent {
  const parsed = generateEvent.safeParse(JSON.parse(data));
  if (!parsed.success) throw unexpected(`an event outside the contract: ${parsed.error.message}`);
  return parsed.data;
}

async function* outputEvents(
  events: AsyncGenerator<GenerateEvent>,
  cancel: () => void,
): AsyncGenerator<OutputEvent, void, undefined> {
  let isDone = false;
  try {
    for await (const event of events) {
      if (event.type === 'error') throw fromContract(event.error);
      if (event.type === 'accepted') throw unexpected('`accepted` twice');
      isDone = event.type === 'done';
      yield event;
      if (isDone) return;
    }
    throw new AppError('INTERNAL_ERROR', 'The inference service stopped while generating.');
  } finally {
    if (!isDone) cancel();
  }
}

function refusal(status: number, text: string): AppError {
  const parsed = errorBody.safeParse(parseJson(text));
  if (parsed.success) return fromContract(parsed.data);
  return unexpected(`status ${status} without a code`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function fromContract(error: Schemas['ErrorBody']): AppError {
  return new AppError(error.code, error.message, { param: error.param ?? null, details: error.details ?? {} });
}

function unexpected(what: string): AppError {
  return new AppError('INTERNAL_ERROR', 'The inference service gave an unexpected answer.', {
    cause: new Error(`The sidecar sent ${what}.`),
  });
}

const timeouts = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);
const unreachable = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EPIPE',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_SOCKET',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
]);

function transportError(error: unknown, signal: AbortSignal | undefined): Error {
  if (error instanceof AppError) return error;
  if (signal?.aborted) return signal.reason instanceof Error ? signal.reason : (error as Error);
  const code = (error as { code?: string } | null)?.code ?? '';
  if (timeouts.has(code)) {
    return new AppError('DEADLINE_EXCEEDED', 'The inference service did not answer in time.', { cause: error });
  }
  if (unreachable.has(code)) {
    return new AppError('SIDECAR_UNAVAILABLE', 'The inference service is not reachable; it may be restarting.', {
      cause: error,
    });
  }
  return new AppError('INTERNAL_ERROR', 'Talking to the inference service failed.', { cause: error });
}
