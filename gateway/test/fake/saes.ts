// SAEs as the scripted sidecar describes them. A folder's name says what is in it: `broken`, its layer, or the demo's own.
import type { Schemas } from '../../src/inference/contract.ts';
import { failure } from './failure.ts';

export const dSae = 4096;

export function requireIndex(index: number): void {
  if (index >= dSae) throw failure('INVALID_FEATURE_INDEX', `Index ${index} is out of range.`);
}

/** The override, or what the folder is called, or 15. */
const layerOf = (path: string, overrides?: Schemas['SaeOverrides']) =>
  overrides?.layer ?? Number(/layer_(\d+)/.exec(path)?.[1] ?? 15);

/** Published folders state what training counted; the demo's was evaluated; layer 12 states nothing. */
function qualityOf(path: string): Schemas['SaeQuality'] | null {
  if (path.includes('layer_12')) return null;
  if (!path.includes('layer_')) {
    return {
      ...{ l0: 36.78, explained_variance: 0.8571, loss_recovered: 0.9707, dead_features: 16 },
      sources: ['quality.json'],
    };
  }
  return {
    ...{ l0: 40, explained_variance: null, loss_recovered: null, dead_features: 7 },
    sources: ['cfg.json', 'sparsity.safetensors'],
  };
}

/** Somebody tried two features of the demo's; published folders bring no examples. */
const strengthsOf = (path: string): Schemas['FeatureStrength'][] =>
  path.includes('layer_')
    ? []
    : [
        { index: 40, strength: 24 },
        { index: 13, strength: 55 },
      ];

export function describeSae(path: string): Schemas['SaeDescription'] {
  if (path.includes('broken')) throw failure('SAE_INCOMPATIBLE', 'The fake cannot read this SAE.');
  const layer = layerOf(path);
  return {
    path,
    format: 'saelens',
    architecture: 'jumprelu',
    ...{ d_in: 576, d_sae: dSae, layer, hook: `blocks.${layer}.hook_resid_post` },
    normalization: 'none',
    neuronpedia_id: 'smollm2-135m/15-res-4k',
    size_bytes: 9_440_000,
    model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
    quality: qualityOf(path),
    strengths: strengthsOf(path),
  };
}

export function attachedSae(request: Schemas['AttachSaeRequest'], modelId: string): Schemas['AttachedSae'] {
  const { sae_id, path, overrides } = request;
  if (path.includes('broken')) throw failure('SAE_INCOMPATIBLE', 'The SAE is 768 wide, the model 576.');
  const layer = layerOf(path, overrides);
  return {
    ...{ sae_id, path, format: 'saelens', architecture: 'jumprelu', d_in: 576, d_sae: dSae },
    ...{ layer, hook: `blocks.${layer}.hook_resid_post` },
    model: modelId,
    memory_bytes: 9_440_000,
    operations: ['add', 'clamp', 'clamp_range', 'multiply', 'ablate', 'ablate_direction', 'orthogonal', 'norm_add'],
    warnings: [],
    quality: qualityOf(path),
    strengths: strengthsOf(path),
  };
}
