/** What memory is used for, in the colours it has everywhere. */
import type { MeterPart } from './stacked-meter.svelte';

export interface MemoryUse {
  used_bytes: number;
  total_bytes: number;
  model_bytes: number;
  sae_bytes: number;
  kv_bytes: number;
}

export function memoryParts(memory: MemoryUse): MeterPart[] {
  const named = [
    { name: 'Model', value: memory.model_bytes, color: 'var(--accent)' },
    { name: 'SAEs', value: memory.sae_bytes, color: 'var(--against)' },
    { name: 'Cache', value: memory.kv_bytes, color: 'var(--ok)' },
  ];
  const rest = memory.used_bytes - named.reduce((sum, part) => sum + part.value, 0);
  return [...named, { name: 'Other', value: Math.max(0, rest), color: 'var(--line-strong)' }];
}
