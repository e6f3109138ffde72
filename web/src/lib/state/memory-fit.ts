/** Whether something would fit into memory, as far as one can say before it is there. Pure; sizes in bytes. */
import type { MemoryState, Model, ModelPreview, Quantization } from '#lib/api/types.ts';

/** What a parameter takes, its scales included. */
const BYTES_PER_PARAMETER: Record<Quantization, number> = { Q4: 0.6, Q8: 1.1, FP16: 2, BF16: 2, FP32: 4 };
/** Quantizations from the best to the smallest. */
const BEST_FIRST: Quantization[] = ['FP32', 'BF16', 'FP16', 'Q8', 'Q4'];

export interface Fit {
  bytes: number;
  /** From the number of parameters, not from having loaded it. */
  isEstimate: boolean;
  freeBytes: number;
  fits: boolean;
}

/** Memory a model would take; null where nothing is known of it. A processor computes in FP32, a GPU in half of that. */
export function memoryOf(
  model: Pick<Model, 'memory_bytes' | 'parameters' | 'quantization'>,
  device: string | null | undefined,
): { bytes: number; isEstimate: boolean } | null {
  if (model.memory_bytes) return { bytes: model.memory_bytes, isEstimate: false };
  if (!model.parameters) return null;
  const kind = isQuantization(model.quantization) ? model.quantization : device === 'cpu' ? 'FP32' : 'FP16';
  return { bytes: model.parameters * BYTES_PER_PARAMETER[kind], isEstimate: true };
}

/** A model that is loaded gives its memory back first: there is one at a time. */
export function freeFor(memory: MemoryState, isReplacing: boolean): number {
  const free = Math.max(0, memory.total_bytes - memory.used_bytes);
  return isReplacing ? free + memory.model_bytes + memory.sae_bytes : free;
}

export function fitOf(model: Model, memory: MemoryState | null | undefined, isReplacing: boolean): Fit | null {
  const need = memoryOf(model, memory?.device);
  if (!need || !memory) return null;
  const freeBytes = freeFor(memory, isReplacing);
  return { ...need, freeBytes, fits: need.bytes <= freeBytes };
}

/** The best that fits; where nothing does, the smallest. */
export function bestQuantization(memory: ModelPreview['memory']): Quantization | null {
  const offered = BEST_FIRST.filter((name) => memory.some(({ quantization }) => quantization === name));
  return (
    offered.find((name) => memory.some((item) => item.quantization === name && item.fits)) ?? offered.at(-1) ?? null
  );
}

function isQuantization(name: string | null): name is Quantization {
  return name !== null && name in BYTES_PER_PARAMETER;
}
