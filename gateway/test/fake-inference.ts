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
import { decode, encode, tokenText, vocabSize } from './fake/tokenizer.ts';
import { generateScript } from './fake/script.ts';
import type { Scenario } from './fake/script.ts';
import { writeStream } from './fake/stream.ts';

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

const dSae = 4096;
const contextLength = 2048;
const metricsMs = 2_000;

export async function startFakeInference(port = 0): Promise<FakeInference> {
  let instanceId = randomUUID();
  let model: Schemas['LoadedModel'] | null = null;
  let loadingModelId: string | null = null;
  let abandonLoad = (): void => undefined;
  let saes: Schemas['AttachedSae'][] = [];

  const server = createServer((request, response) => {
    void handle(request, response).catch((error: unknown) => {
      if (!response.headersSent) sendError(response, toBody(error));
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
    hub: createFakeHub(failure, (download) => fake.feed.download(download)),
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
    if (feature) return geometry(decodeURIComponent(feature[1] ?? ''), Number(feature[2]));
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
        return describeModel(String(body['path']));
      case '/saes/attach':
        return attach(body as Schemas['AttachSaeRequest']);
      case '/saes/detach':
        saes = saes.filter((sae) => sae.sae_id !== body['sae_id']);
        fake.feed.say();
        return fake.state();
      case '/embeddings':
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
        return readActivations(body as Schemas['ReadActivationsRequest']);
      case '/activations/contrast':
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
    const loaded: Schemas['LoadedModel'] = {
      model_id: request.model_id,
      path: request.path,
      architecture: 'LlamaForCausalLM',
      parameters: 134_515_008,
      dtype: 'float32',
      quantization: null,
      device: 'cpu',
      context_length: contextLength,
      hidden_size: 576,
      layers: 30,
      vocab_size: vocabSize,
      memory_bytes: 540_000_000,
      has_chat_template: true,
      default_sampling: {},
      load_seconds: fake.loadDelayMs / 1000,
    };
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
    if (request.path.includes('broken')) throw failure('SAE_INCOMPATIBLE', 'The SAE is 768 wide, the model 576.');
    const sae: Schemas['AttachedSae'] = {
      sae_id: request.sae_id,
      path: request.path,
      format: 'saelens',
      architecture: 'jumprelu',
      d_in: 576,
      d_sae: dSae,
      hook: `blocks.${layerOf(request)}.hook_resid_post`,
      layer: layerOf(request),
      model: model.model_id,
      memory_bytes: 9_440_000,
      operations: ['add', 'clamp', 'clamp_range', 'multiply', 'ablate', 'ablate_direction', 'orthogonal', 'norm_add'],
      warnings: [],
    };
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
      for (const index of watch.features ?? []) {
        if (index >= dSae) throw failure('INVALID_FEATURE_INDEX', `Index ${index} is out of range.`);
      }
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

  function embed(request: Schemas['EmbedRequest']): Schemas['EmbedResponse'] {
    requireModel(request.model_id);
    const ids = request.inputs.map((input) => input.token_ids ?? encode(input.text ?? ''));
    return {
      vectors: ids.map((tokens) => unit(Array.from({ length: 8 }, (_, d) => Math.sin(d + sum(tokens))))),
      prompt_tokens: sum(ids.map((tokens) => tokens.length)),
    };
  }

  function readActivations(request: Schemas['ReadActivationsRequest']): Schemas['ReadActivationsResponse'] {
    requireModel(request.model_id);
    requireSae(request.activations.sae_id);
    const ids = encode(promptText(request.prompt));
    const chosen = request.activations.features ?? [];
    const indices =
      chosen.length > 0 ? chosen : Array.from({ length: request.activations.top_k ?? 1 }, (_, k) => k + 1);
    return {
      tokens: ids.map((token_id, position) => ({
        position,
        token_id,
        token: tokenText(token_id),
        sae_id: request.activations.sae_id,
        features: indices.map((index, k) => ({ index, value: 10 - k })),
      })),
    };
  }

  function contrast(request: Schemas['ContrastRequest']): Schemas['ContrastResponse'] {
    requireModel(request.model_id);
    requireSae(request.sae_id);
    const features = Array.from({ length: Math.min(request.limit ?? 20, 5) }, (_, k) => ({
      index: k + 1,
      mean_a: 5 - k,
      mean_b: 0.5,
      effect_size: 2 - k / 10,
      auroc: 0.95 - k / 100,
    }));
    return { features, texts_a: request.a.length, texts_b: request.b.length };
  }

  function geometry(saeId: string, index: number): Schemas['FeatureGeometry'] {
    requireSae(saeId);
    if (index >= dSae) throw failure('INVALID_FEATURE_INDEX', `Index ${index} is out of range.`);
    return {
      sae_id: saeId,
      index,
      decoder_norm: 1,
      promoted: [{ token_id: 1, token: ' sea', value: 0.9 }],
      suppressed: [{ token_id: 2, token: ' land', value: -0.8 }],
      nearest: [{ index: (index + 1) % dSae, cosine: 0.5 }],
    };
  }

  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  fake.port = (server.address() as AddressInfo).port;
  fake.url = `http://127.0.0.1:${fake.port}`;
  return fake;
}

/** The override, or what the folder is called, or 15. */
const layerOf = ({ path, overrides }: Schemas['AttachSaeRequest']) =>
  overrides?.layer ?? Number(/layer_(\d+)/.exec(path)?.[1] ?? 15);

function promptText(prompt: Schemas['Prompt']): string {
  if (prompt.type === 'text') return prompt.text;
  if (prompt.type === 'tokens') return decode(prompt.token_ids);
  return prompt.messages.map((message) => `${String(message['role'])}: ${String(message['content'])}\n`).join('');
}

function describeModel(path: string): Schemas['ModelDescription'] {
  return {
    path,
    format: path.endsWith('.gguf') ? 'gguf' : 'safetensors',
    architecture: 'LlamaForCausalLM',
    size_bytes: 145_000_000,
    parameters: 134_515_008,
    context_length: contextLength,
    hidden_size: 576,
    layers: 30,
    has_chat_template: true,
  };
}

class Failure extends Error {
  readonly body: Schemas['ErrorBody'];
  constructor(body: Schemas['ErrorBody']) {
    super(body.message);
    this.body = body;
  }
}

function failure(code: Schemas['ErrorCode'], message: string, details: Record<string, unknown> = {}): Failure {
  return new Failure({ code, message, param: null, details });
}

const toBody = (error: unknown): Schemas['ErrorBody'] =>
  error instanceof Failure ? error.body : { code: 'INTERNAL_ERROR', message: String(error), param: null, details: {} };

const statuses: Partial<Record<Schemas['ErrorCode'], number>> = { QUEUE_FULL: 503, INTERNAL_ERROR: 500 };

function sendError(response: ServerResponse, body: Schemas['ErrorBody']): void {
  response.writeHead(statuses[body.code] ?? 400, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function sendJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

async function readJson(request: IncomingMessage, onBody: (text: string) => void): Promise<Record<string, unknown>> {
  let text = '';
  request.setEncoding('utf8');
  for await (const piece of request) text += String(piece);
  onBody(text);
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
function unit(vector: number[]): number[] {
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

if (import.meta.main) {
  const port = Number(process.argv.findLast((word) => /^\d+$/.test(word)) ?? 8100);
  const fake = await startFakeInference(port);
  console.log(`fake sidecar on ${fake.url}`);
}
