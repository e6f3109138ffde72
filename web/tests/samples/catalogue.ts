/** Whole objects of the API for unit tests; each test names only the fields it is about. */
import type { ActivationEntry, Model, Sae, SystemState } from '#lib/api/types.ts';

export function sampleModel(fields: Partial<Model> = {}): Model {
  return {
    id: 'smollm2',
    name: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    repo_id: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    revision: null,
    aliases: [],
    architecture: 'LlamaForCausalLM',
    parameters: 134_515_008,
    context_length: 8192,
    quantization: null,
    dtype: 'float32',
    device: 'cpu',
    size_bytes: 144_811_360,
    memory_bytes: 538_060_032,
    status: 'loaded',
    progress: 0,
    locked: false,
    error: null,
    source: 'hub',
    trust_remote_code: false,
    download_id: null,
    created_at: '2026-01-01T00:00:00Z',
    ...fields,
  };
}

export function sampleSae(fields: Partial<Sae> = {}): Sae {
  return {
    id: 'demo',
    name: 'demo',
    repo_id: null,
    path: null,
    architecture: 'topk',
    d_in: 576,
    d_sae: 4096,
    hook: 'blocks.15.hook_resid_post',
    layer: 15,
    model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    attached: true,
    operations: ['add'],
    warnings: [],
    status: 'attached',
    progress: 0,
    revision: null,
    source: 'local',
    format: 'saelens',
    download_id: null,
    size_bytes: 9_453_312,
    memory_bytes: 18_900_000,
    quality: null,
    error: null,
    created_at: '2026-01-01T00:00:00Z',
    ...fields,
  };
}

export function sampleSystem(fields: Partial<SystemState> = {}): SystemState {
  return {
    version: '0.1.0',
    node: 'v24.0.0',
    database: 'pglite',
    uptime_seconds: 60,
    device: 'cpu',
    memory: {
      device: 'cpu',
      used_bytes: 1_240_000_000,
      total_bytes: 16_700_000_000,
      model_bytes: 538_060_032,
      sae_bytes: 18_900_000,
      kv_bytes: 377_000_000,
    },
    queue: { running: 0, waiting: 0, slots_total: 8, slots_free: 8, max_waiting: 64, tokens_per_second: 0 },
    counters: { prompt_tokens: 0, generated_tokens: 0, requests: 0, aborted: 0, cached_prompt_tokens: 0 },
    gateway_memory_bytes: 120_000_000,
    ...fields,
  };
}

export function sampleEntry(features: { index: number; value: number }[], fields: Partial<ActivationEntry> = {}) {
  return {
    position: 0,
    token_id: 1,
    token: ' sea',
    sae_id: 'demo',
    features: features.map((feature) => ({ label: null, ...feature })),
    ...fields,
  } satisfies ActivationEntry;
}
