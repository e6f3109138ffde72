// A sidecar without a model: a real HTTP server that speaks the contract, with named scenarios. Tests start it in-process;
// `node test/fake-inference.ts [port]` runs it alone, and then `[[slow]]` in a prompt picks the scenario for that request.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Schemas } from '../src/inference/contract.ts';
import { createFakeFeed } from './fake/feed.ts';
import type { FakeFeed } from './fake/feed.ts';
import { createFakeHub } from './fake/hub.ts';
import type { FakeHub } from './fake/hub.ts';
import { failure } from './fake/failure.ts';
import { readJson, sendError, sendJson } from './fake/http.ts';
import { contextLength, describeModel, loadedModel } from './fake/models.ts';
import { contrast, embed, geometry, readActivations } from './fake/readings.ts';
import { attachedSae, requireIndex } from './fake/saes.ts';
import { generateScript } from './fake/script.ts';
import type { Scenario } from './fake/script.ts';
import { writeStream } from './fake/stream.ts';
import { decode, encode, promptText, tokenText } from './fake/tokenizer.ts';

export type { Scenario } from './fake/script.ts';

export interface FakeInference {
  url: string;
  port: number;
  /** Used by every request whose prompt does not name another. */
  scenario: Scenario;
  /** When set, the pieces that a request generates, one token each. */
  script: string[] | null;
  loadDelayMs: number;
  /** So many loads are refused first. */
  failLoads: number;
  /** Generate requests as they arrived. */
  requests: Schemas['GenerateRequest'][];
  requestIds: (string | undefined)[];
  traceparents: (string | undefined)[];
  /** Sees every POST body as it arrived. */
  onBody: (text: string) => void;
  calls: string[];
  running: number;
  cancelled: number;
  feed: FakeFeed;
  hub: FakeHub;
  state(): Schemas['RuntimeState'];
  /** Forget everything, as a process that was killed and started again. */
  restart(): void;
  close(): Promise<void>;
}

const metricsMs = 2_000;

export async function startFakeInference(port = 0): Promise<FakeInference> {
  let instanceId = randomUUID();
  let model: Schemas['LoadedModel'] | null = null;
  let loadingModelId: string | null = null;
  let abandonLoad = (): void => undefined;
  let saes: Schemas['AttachedSae'][] = [];

  const server = createServer((request, response) => {
    void handle(request, response).catch((error: unknown) => {
      if (!response.headersSent) sendError(response, error);
      else response.destroy();
    });
  });

  const fake: FakeInference = {
    url: '',
    port: 0,
    scenario: 'plain',
    script: null,
    loadDelayMs: 0,
    failLoads: 0,
    requests: [],
    requestIds: [],
    traceparents: [],
    onBody: () => undefined,
    calls: [],
    running: 0,
    cancelled: 0,
    feed: createFakeFeed(() => fake.state()),
    hub: createFakeHub((download) => fake.feed.download(download)),
    state: () => ({
      instance_id: instanceId,
      model,
      loading_model_id: loadingModelId,
      saes,
      queue: {
        running: fake.running,
        waiting: 0,
        slots_total: 16,
        slots_free: 16 - fake.running,
        max_waiting: 64,
        tokens_per_second: 0,
        kv_usage: 0.25,
      },
      memory: { device: 'cpu', used_bytes: 1e9, total_bytes: 8e9, model_bytes: 5e8, sae_bytes: 1e7, kv_bytes: 1e8 },
      counters: {
        prompt_tokens: 0,
        generated_tokens: 0,
        requests: fake.requests.length,
        aborted: fake.cancelled,
        cached_prompt_tokens: 0,
      },
    }),
    restart() {
      instanceId = randomUUID();
      model = null;
      saes = [];
      fake.feed.restart();
      fake.hub.restart();
    },
    close: () =>
      new Promise((resolve) => {
        clearInterval(ticking);
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };

  const ticking = setInterval(() => fake.feed.metrics(), metricsMs);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    fake.calls.push(`${request.method} ${path}`);
    if (path === '/feed') return fake.feed.listen(request, response);
    const body = request.method === 'POST' || request.method === 'PUT' ? await readJson(request, fake.onBody) : {};
    if (path === '/generate') {
      fake.requestIds.push(request.headers['x-request-id'] as string | undefined);
      fake.traceparents.push(request.headers['traceparent'] as string | undefined);
      return generate(body as Schemas['GenerateRequest'], response);
    }
    const asked = path === '/hub/registry' ? (request.url ?? '') : path;
    sendJson(response, fake.hub.answer(request.method ?? '', asked, body) ?? (await answer(path, body)));
  }

  async function answer(path: string, body: Record<string, unknown>): Promise<unknown> {
    const feature = /^\/saes\/([^/]+)\/features\/(\d+)$/.exec(path);
    if (feature) {
      const [saeId, index] = [decodeURIComponent(feature[1] ?? ''), Number(feature[2])];
      requireSae(saeId);
      requireIndex(index);
      return geometry(saeId, index);
    }
    switch (path) {
      case '/health':
        return { status: 'ok', instance_id: instanceId, version: 'fake', device: 'cpu', uptime_s: process.uptime() };
      case '/state':
        return fake.state();
      case '/models/load':
        return load(body as Schemas['LoadModelRequest']);
      case '/monitor':
        return setMonitor(body as Schemas['MonitorState']);
      case '/models/unload':
        abandonLoad();
        model = null;
        saes = [];
        fake.feed.say();
        return fake.state();
      case '/models/inspect':
        return describeModel(body as Schemas['InspectModelRequest']);
      case '/saes/attach':
        return attach(body as Schemas['AttachSaeRequest']);
      case '/saes/detach':
        saes = saes.filter((sae) => sae.sae_id !== body['sae_id']);
        fake.feed.say();
        return fake.state();
      case '/embeddings':
        requireModel(String(body['model_id']));
        return embed(body as unknown as Schemas['EmbedRequest']);
      case '/tokenize': {
        requireModel(String(body['model_id']));
        const ids = encode(promptText(body['prompt'] as Schemas['Prompt']));
        return { token_ids: ids, tokens: ids.map(tokenText) };
      }
      case '/detokenize':
        requireModel(String(body['model_id']));
        return { text: decode(body['token_ids'] as number[]) };
      case '/activations':
        requireModel(String(body['model_id']));
        requireSae((body as Schemas['ReadActivationsRequest']).activations.sae_id);
        return readActivations(body as Schemas['ReadActivationsRequest']);
      case '/activations/contrast':
        requireModel(String(body['model_id']));
        requireSae(String(body['sae_id']));
        return contrast(body as Schemas['ContrastRequest']);
      default:
        throw failure('VALIDATION_ERROR', `The fake has no route ${path}.`);
    }
  }

  async function load(request: Schemas['LoadModelRequest']): Promise<Schemas['LoadedModel']> {
    loadingModelId = request.model_id;
    const say = (stage: Schemas['LoadEvent']['stage'], message: string | null = null) =>
      fake.feed.publish({ type: 'load', model_id: request.model_id, stage, message });
    say('reading');
    const loadedBy = instanceId;
    const isAbandoned = await new Promise<boolean>((resolve) => {
      abandonLoad = () => resolve(true);
      setTimeout(() => resolve(false), fake.loadDelayMs);
    });
    if (isAbandoned) {
      loadingModelId = null;
      throw failure('CONFLICT', 'Loading was cancelled.');
    }
    if (fake.failLoads > 0) {
      fake.failLoads -= 1;
      loadingModelId = null;
      throw failure('INTERNAL_ERROR', 'This load failed, as it was told to.');
    }
    loadingModelId = null;
    if (request.path.includes('broken')) {
      say('failed', 'The fake cannot load this model.');
      throw failure('MODEL_INCOMPATIBLE', 'The fake cannot load this model.');
    }
    const loaded = loadedModel(request, fake.loadDelayMs);
    if (loadedBy === instanceId) {
      model = loaded;
      saes = [];
      say('ready');
      fake.feed.say();
    }
    return loaded;
  }

  function attach(request: Schemas['AttachSaeRequest']): Schemas['AttachedSae'] {
    if (!model) throw failure('MODEL_NOT_LOADED', 'No model is loaded.');
    const sae = attachedSae(request, model.model_id);
    saes = [...saes.filter((known) => known.sae_id !== sae.sae_id), sae];
    fake.feed.say();
    return sae;
  }

  function requireModel(modelId: string): void {
    if (model?.model_id !== modelId) throw failure('MODEL_NOT_LOADED', `The model ${modelId} is not loaded.`);
  }

  function requireSae(saeId: string): void {
    if (!saes.some((sae) => sae.sae_id === saeId)) throw failure('SAE_NOT_ATTACHED', `${saeId} is not attached.`);
  }

  function setMonitor(body: Schemas['MonitorState']): Schemas['MonitorState'] {
    for (const watch of body.watches) {
      requireSae(watch.sae_id);
      watch.features?.forEach(requireIndex);
    }
    return fake.feed.setMonitor(body);
  }

  /** Hands the tokens of a request to whoever watches, as they are generated. */
  function watched(request: Schemas['GenerateRequest'], promptLength: number) {
    const positions = new Map<number, number>();
    return (event: Schemas['GenerateEvent']) => {
      if (event.type !== 'delta') return;
      for (const tokenId of event.token_ids ?? []) {
        const position = positions.get(event.index) ?? promptLength;
        positions.set(event.index, position + 1);
        fake.feed.read(request.request_id, event.index, tokenId, position, false);
      }
    };
  }

  async function generate(request: Schemas['GenerateRequest'], response: ServerResponse): Promise<void> {
    fake.requests.push(request);
    requireModel(request.model_id);
    for (const feature of request.steering?.features ?? []) requireSae(feature.sae_id);
    if (request.activations) requireSae(request.activations.sae_id);
    const prompt = promptText(request.prompt);
    const scenario = /\[\[([\w-]+)\]\]/.exec(prompt)?.[1] ?? fake.scenario;
    const promptIds = request.prompt.type === 'tokens' ? request.prompt.token_ids : encode(prompt);
    const limit = request.sampling?.max_tokens;
    if (scenario === 'error-early') throw failure('INVALID_CHAT_TEMPLATE_INPUT', 'The template refuses a system role.');
    if (scenario === 'queue-full') throw failure('QUEUE_FULL', '64 requests are waiting; try again in a few seconds.');
    if (scenario === 'out-of-memory') throw failure('INSUFFICIENT_MEMORY', 'Not enough memory for this request.');
    if (promptIds.length + (limit ?? 1) > contextLength || scenario === 'overflow') {
      throw failure('CONTEXT_LENGTH_EXCEEDED', 'Too long.', {
        context_length: contextLength,
        prompt_tokens: promptIds.length,
        max_tokens: limit ?? null,
      });
    }
    const script = generateScript(request, scenario as Scenario, prompt, promptIds, fake.script);
    fake.running += 1;
    try {
      promptIds.forEach((id, position) => fake.feed.read(request.request_id, 0, id, position, true));
      const isWhole = await writeStream(response, script, scenario as Scenario, watched(request, promptIds.length));
      if (!isWhole) fake.cancelled += 1;
    } finally {
      fake.running -= 1;
    }
  }

  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  fake.port = (server.address() as AddressInfo).port;
  fake.url = `http://127.0.0.1:${fake.port}`;
  return fake;
}

if (import.meta.main) {
  const port = Number(process.argv.findLast((word) => /^\d+$/.test(word)) ?? 8100);
  const fake = await startFakeInference(port);
  console.log(`fake sidecar on ${fake.url}`);
}
