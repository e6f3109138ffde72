// Models as the scripted sidecar describes and loads them: every path is the demo's.
import type { Schemas } from '../../src/inference/contract.ts';
import { failure } from './failure.ts';
import { vocabSize } from './tokenizer.ts';

export const contextLength = 2048;

const demo = {
  architecture: 'LlamaForCausalLM',
  parameters: 134_515_008,
  context_length: contextLength,
  hidden_size: 576,
  layers: 30,
  has_chat_template: true,
};

/** One whose path says `own-code` cannot be read without consent. */
export function describeModel(ask: Schemas['InspectModelRequest']): Schemas['ModelDescription'] {
  const { path, trust_remote_code: trusts = false } = ask;
  if (path.includes('own-code') && !trusts) {
    throw failure('MODEL_INCOMPATIBLE', 'The model comes with Python code of its own: send trust_remote_code.');
  }
  return { ...demo, path, format: path.endsWith('.gguf') ? 'gguf' : 'safetensors', size_bytes: 145_000_000 };
}

export function loadedModel({ model_id, path }: Schemas['LoadModelRequest'], ms: number): Schemas['LoadedModel'] {
  return {
    ...{ ...demo, model_id, path, dtype: 'float32', quantization: null, device: 'cpu' },
    ...{ vocab_size: vocabSize, memory_bytes: 540_000_000, default_sampling: {}, load_seconds: ms / 1000 },
  };
}
