import type { ProgressEvents, ProgressUpdate, SystemEvents, SystemMetrics } from '@millm/proto/live';
import { describe, expect, it, vi } from 'vitest';
import type { Download } from '#lib/api/types.ts';
import { sampleSystem } from '../../../tests/samples/catalogue.ts';
import { fakeChannel, settled } from '../../../tests/samples/fake-socket.ts';
import { follow } from './follow.ts';
import { Metrics } from './metrics.svelte.ts';
import { Transfers } from './transfers.svelte.ts';

const metricsAt = (second: number, tokens_per_second = 0): SystemMetrics => {
  const { memory, queue, counters } = sampleSystem();
  if (!memory || !queue || !counters) throw new Error('The sample is whole.');
  return {
    timestamp: new Date(1_700_000_000_000 + second * 1000).toISOString(),
    gpu_utilization: null,
    gpu_memory_used_mb: null,
    gpu_memory_total_mb: null,
    gpu_temperature: null,
    cpu_utilization: 5,
    memory,
    queue: { ...queue, tokens_per_second },
    counters,
    gateway_memory_bytes: 1,
  };
};

const download: Download = {
  id: 'd1',
  kind: 'model',
  repo_id: 'a/b',
  revision: null,
  path: null,
  state: 'running',
  resumable: false,
  progress: 10,
  bytes_done: 10,
  bytes_total: 100,
  bytes_per_second: 1,
  error: null,
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
};
const told = (seq: number, bytes_done: number, state: 'running' | 'done' = 'running'): ProgressUpdate => ({
  kind: 'download',
  id: 'd1',
  state,
  progress: bytes_done,
  is_final: state === 'done',
  message: null,
  seq,
  download: { download_id: 'd1', kind: 'model', repo_id: 'a/b', state, bytes_done, bytes_total: 100, seq },
});

describe('transfers', () => {
  it('are as far as the newest event says', async () => {
    const transfers = new Transfers({ listDownloads: async () => [download] });
    await transfers.refresh();
    transfers.begin([told(4, 40)]);
    transfers.update(told(6, 60));
    transfers.update(told(5, 50));
    expect(transfers.download('d1')).toMatchObject({ progress: 60, bytes_done: 60, bytes_per_second: 0 });
    expect(transfers.running).toHaveLength(1);
    expect(transfers.download('other')).toBeNull();
  });

  it('are over when the list says so, whatever the last event was', async () => {
    const transfers = new Transfers({ listDownloads: async () => [{ ...download, state: 'interrupted' }] });
    await transfers.refresh();
    transfers.begin([told(4, 40)]);
    expect(transfers.download('d1')?.state).toBe('interrupted');
    expect(transfers.running).toHaveLength(0);
  });

  it('say whether what the server has may have changed', () => {
    const transfers = new Transfers({ listDownloads: async () => [] });
    expect(transfers.update(told(1, 1))).toBe(true); // a new one
    expect(transfers.update(told(2, 2))).toBe(false);
    expect(transfers.update(told(3, 100, 'done'))).toBe(true);
    expect(transfers.update(told(3, 100, 'done'))).toBe(false);
  });

  it('know how far a model is on its way into memory', () => {
    const transfers = new Transfers({ listDownloads: async () => [] });
    const load: ProgressUpdate = {
      kind: 'load',
      id: 'm',
      state: 'reading',
      progress: 40,
      is_final: false,
      message: null,
      seq: 1,
    };
    transfers.update(load);
    expect(transfers.load('m')?.progress).toBe(40);
    transfers.update({ ...load, state: 'ready', is_final: true, seq: 2 });
    expect(transfers.load('m')).toBeNull();
  });

  it('keep the last known when the list cannot be had', async () => {
    const listDownloads = vi.fn<() => Promise<Download[]>>().mockResolvedValueOnce([download]);
    listDownloads.mockRejectedValue(new Error('gone'));
    const transfers = new Transfers({ listDownloads });
    await transfers.refresh();
    await transfers.refresh();
    expect(transfers.downloads).toHaveLength(1);
    expect(transfers.error?.code).toBe('NETWORK_ERROR');
  });
});

describe('metrics', () => {
  it('keep the last five minutes, each sample once', () => {
    const metrics = new Metrics();
    for (let second = 0; second < 400; second += 2) metrics.record(metricsAt(second, second));
    metrics.record(metricsAt(398, 1));
    expect(metrics.samples).toHaveLength(150);
    expect(metrics.samples.at(-1)?.tokensPerSecond).toBe(398);
    expect(metrics.latest?.cpu_utilization).toBe(5);
  });
});

describe('following the server', () => {
  it('looks again once for a burst of changes, and takes metrics as they come', async () => {
    vi.useFakeTimers();
    const system = fakeChannel<SystemEvents>();
    const progress = fakeChannel<ProgressEvents>();
    const runtime = { refresh: vi.fn(async () => undefined), observe: vi.fn(), observeModel: vi.fn() };
    const transfers = { begin: vi.fn(), update: vi.fn(() => true), refresh: vi.fn(async () => undefined) };
    const metrics = { record: vi.fn() };
    const live = { system: system.channel, progress: progress.channel };
    const stop = follow(live, { runtime, transfers, metrics });
    await vi.advanceTimersByTimeAsync(1);

    system.socket.say('system:snapshot', { state: null, metrics: metricsAt(0) });
    system.socket.say('model:load:progress', {});
    system.socket.say('model:loaded', { model: { layers: 30 } });
    progress.socket.say('progress:snapshot', { items: [] });
    await vi.advanceTimersByTimeAsync(100);
    expect(runtime.refresh).toHaveBeenCalledOnce();
    expect(transfers.begin).toHaveBeenCalledWith([]);
    expect(runtime.observeModel.mock.calls).toEqual([[null], [{ layers: 30 }]]);

    system.socket.say('system:metrics', metricsAt(2));
    await vi.advanceTimersByTimeAsync(100);
    expect(runtime.observe).toHaveBeenCalledTimes(2);
    expect(metrics.record).toHaveBeenCalledTimes(2);
    expect(runtime.refresh).toHaveBeenCalledOnce(); // metrics alone are no change

    progress.socket.say('progress:update', told(1, 1));
    stop();
    await vi.advanceTimersByTimeAsync(100);
    expect(runtime.refresh).toHaveBeenCalledOnce();
    expect(system.socket.isWanted || progress.socket.isWanted).toBe(false);
    vi.useRealTimers();
    await settled();
  });
});
