import { describe, expect, it } from 'vitest';
import { sampleModel, sampleSystem } from '../../../tests/samples/catalogue.ts';
import { bestQuantization, fitOf, freeFor, memoryOf } from './memory-fit.ts';

const memory = sampleSystem().memory;
if (!memory) throw new Error('The sample is whole.');

describe('memory a model takes', () => {
  it('is what was measured, else an estimate by quantization or device', () => {
    expect(memoryOf(sampleModel({ memory_bytes: 5 }), 'cpu')).toEqual({ bytes: 5, isEstimate: false });
    const unloaded = sampleModel({ memory_bytes: null, parameters: 1_000 });
    expect(memoryOf(unloaded, 'cpu')?.bytes).toBe(4_000);
    expect(memoryOf(unloaded, 'cuda:0')?.bytes).toBe(2_000);
    expect(memoryOf({ ...unloaded, quantization: 'Q4' }, 'cuda:0')?.bytes).toBe(600);
    expect(memoryOf({ ...unloaded, quantization: 'Q4_1' }, 'cpu')?.bytes).toBe(4_000);
    expect(memoryOf({ ...unloaded, parameters: null }, 'cpu')).toBeNull();
  });

  it('is compared with what is free, and with what the loaded model gives back', () => {
    const small = { ...memory, total_bytes: 1_000, used_bytes: 900, model_bytes: 300, sae_bytes: 100, kv_bytes: 0 };
    expect(freeFor(small, false)).toBe(100);
    expect(freeFor(small, true)).toBe(500);
    const model = sampleModel({ memory_bytes: 400 });
    expect(fitOf(model, small, false)).toMatchObject({ fits: false });
    expect(fitOf(model, small, true)).toMatchObject({ fits: true, freeBytes: 500 });
    expect(fitOf(model, null, true)).toBeNull();
  });
});

describe('the quantization offered first', () => {
  const offer = (...items: [string, boolean][]) =>
    items.map(([quantization, fits]) => ({ quantization, fits, memory_bytes: 1 }));

  it('is the best that fits', () => {
    expect(bestQuantization(offer(['Q4', true], ['FP16', true], ['FP32', false]))).toBe('FP16');
  });
  it('is the smallest where nothing fits', () => {
    expect(bestQuantization(offer(['FP16', false], ['Q8', false]))).toBe('Q8');
  });
  it('is none where nothing is known', () => {
    expect(bestQuantization([])).toBeNull();
  });
});
