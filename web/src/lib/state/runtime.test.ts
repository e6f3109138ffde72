import { describe, expect, it, vi } from 'vitest';
import { ApiError } from '#lib/api/errors.ts';
import type { Model } from '#lib/api/types.ts';
import { sampleModel, sampleSae, sampleSystem } from '../../../tests/samples/catalogue.ts';
import { Runtime, type RuntimeSource } from './runtime.svelte.ts';

const model = (status: Model['status'], name = status): Model => sampleModel({ id: name, name, status });
const sae = sampleSae();

function runtimeOf(source: Partial<RuntimeSource> = {}) {
  return new Runtime({
    listModels: async () => [model('ready'), model('loaded')],
    listSaes: async () => [{ ...sae, id: 'other', attached: false }, sae],
    getSystem: async () => sampleSystem(),
    getSteering: async () => null,
    ...source,
  });
}

describe('the runtime', () => {
  it('knows nothing before it asked', () => {
    expect(runtimeOf()).toMatchObject({ models: null, saes: null, model: null, sae: null, canChat: false });
  });

  it('names the loaded model and the attached SAE', async () => {
    const runtime = runtimeOf();
    await runtime.refresh();
    expect(runtime.model?.name).toBe('loaded');
    expect(runtime.sae?.id).toBe('demo');
    expect(runtime.canChat).toBe(true);
  });

  it.each([
    ['ready', true],
    ['loading', false],
    ['downloading', false],
    ['error', false],
  ] as const)('lets a person chat with a %s model: %s', async (status, canChat) => {
    const runtime = runtimeOf({ listModels: async () => [model(status)] });
    await runtime.refresh();
    expect(runtime.canChat).toBe(canChat);
  });

  it('keeps the last known when a call fails, and says what failed', async () => {
    const listModels = vi.fn<RuntimeSource['listModels']>().mockResolvedValueOnce([model('loaded')]);
    listModels.mockRejectedValue(new ApiError('INTERNAL_ERROR', 'x', 500));
    const runtime = runtimeOf({ listModels });
    await runtime.refresh();
    await runtime.refresh();
    expect(runtime.model?.status).toBe('loaded');
    expect(runtime.error?.code).toBe('INTERNAL_ERROR');
  });

  it('is not in error when only queue, memory and steering are missing', async () => {
    const missing = () => Promise.reject(new ApiError('NOT_FOUND', 'x', 404));
    const runtime = runtimeOf({ getSystem: missing, getSteering: missing });
    await runtime.refresh();
    expect(runtime).toMatchObject({ error: null, system: null, steering: null });
  });

  it('asks once more when something changed while it was asking', async () => {
    const listModels = vi.fn<RuntimeSource['listModels']>().mockResolvedValueOnce([model('loading')]);
    listModels.mockResolvedValue([model('loaded')]);
    const runtime = runtimeOf({ listModels });
    const first = runtime.refresh();
    void runtime.refresh();
    void runtime.refresh();
    await first;
    await vi.waitFor(() => expect(runtime.model?.status).toBe('loaded'));
    expect(listModels).toHaveBeenCalledTimes(2);
  });

  it('shows memory and queue as they were told between two askings', async () => {
    const runtime = runtimeOf();
    const { memory, queue, counters } = sampleSystem();
    if (!memory || !queue || !counters) throw new Error('The sample is whole.');
    runtime.observe({ memory, queue, counters });
    expect(runtime.system).toBeNull(); // there is nothing to put them into yet
    await runtime.refresh();
    runtime.observe({ memory, queue: { ...queue, running: 3 }, counters });
    expect(runtime.system?.queue?.running).toBe(3);
  });
});
