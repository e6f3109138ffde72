import type { FeatureStatistics, LiveFrame, MonitorMessage, MonitorSnapshot, Reply } from '@millm/proto/live';
import { describe, expect, it, vi } from 'vitest';
import { fakeChannel, settled } from '../../../tests/samples/fake-socket.ts';
import type { MonitorChannel } from '#lib/live/monitor.ts';
import { askFor, queryFor, watchedFrom } from './monitor-ask.ts';
import { KEPT_ROWS, MonitorFeed, seriesOf, type MonitorSource } from './monitor-feed.svelte.ts';

const frame = (position: number, request_id = 'r', features: [number, number][] = [[1, position]]): LiveFrame => ({
  request_id,
  choice: 0,
  position,
  token_id: position,
  token: ` t${position}`,
  prompt: false,
  sae_id: 'demo',
  timestamp: '2026-01-01T00:00:00.000Z',
  features: features.map(([index, value]) => ({ index, value, label: null })),
});
const statistic = (feature_idx: number): FeatureStatistics => ({
  feature_idx,
  label: null,
  count: 4,
  mean: 2,
  std: 1,
  min: 1,
  max: 3,
  active_ratio: 0.5,
});
const snapshot = (subscription_id: string, seq: number, frames: LiveFrame[] = []): MonitorSnapshot => ({
  subscription_id,
  ask: { sae_id: 'demo', top_k: 8, features: [], request_id: null },
  gateway_id: 'g',
  seq,
  frames,
  statistics: [statistic(1), statistic(2)],
  tokens: frames.length,
});
const message = (subscription_id: string, seq: number, frames: LiveFrame[], dropped = 0): MonitorMessage => ({
  subscription_id,
  seq,
  frames,
  dropped,
  dropped_upstream: 7,
});

async function watching(features: number[] = []) {
  const { socket, channel } = fakeChannel();
  const source = {
    getMonitor: vi.fn<MonitorSource['getMonitor']>().mockRejectedValue(new Error('down')),
    getStatistics: vi.fn<MonitorSource['getStatistics']>().mockRejectedValue(new Error('down')),
  };
  const due: (() => void)[] = [];
  const feed = new MonitorFeed(channel as unknown as MonitorChannel, source, (flush) => due.push(flush));
  feed.watch({ sae_id: 'demo', features, top_k: 8 });
  await settled();
  socket.accept();
  const asked = () => socket.sent.filter(([event]) => event === 'monitor:subscribe');
  const begin = (id: string, seq: number, frames: LiveFrame[] = []) => {
    const reply = asked().at(-1)?.[2] as Reply<{ subscription_id: string; seq: number }>;
    reply({ success: true, data: { subscription_id: id, seq }, error: null });
    socket.say('monitor:snapshot', snapshot(id, seq, frames));
  };
  const draw = () => due.splice(0).forEach((flush) => flush());
  const positions = () => feed.rows.map((row) => row.frame.position);
  return { socket, feed, source, due, asked, begin, draw, positions };
}

describe('the feed of the monitor', () => {
  it('begins with what the server still knows and adds what follows, in order, once for each drawing', async () => {
    const { socket, feed, begin, due, draw, positions } = await watching();
    begin('a', 2, [frame(1), frame(2)]);
    expect(positions()).toEqual([1, 2]);
    socket.say('monitor:activations', message('a', 3, [frame(3)]));
    socket.say('monitor:activations', message('a', 5, [frame(4), frame(5)]));
    socket.say('monitor:activations', message('a', 5, [frame(4), frame(5)])); // told twice
    expect(positions()).toEqual([1, 2]);
    expect(due).toHaveLength(1);
    draw();
    expect(positions()).toEqual([1, 2, 3, 4, 5]);
    expect(new Set(feed.rows.map(({ id }) => id)).size).toBe(5);
    expect(feed.peak).toBe(5);
  });

  it('knows the strongest feature, where a request begins, and where a line has a gap', async () => {
    const { feed, begin } = await watching();
    const chosenFirst: [number, number][] = [
      [9, 0.5],
      [4, 3],
    ];
    begin('a', 3, [frame(0, 'r', chosenFirst), frame(1, 'r', [[9, 0]]), frame(0, 's', [[9, 2]])]);
    expect(feed.rows.map(({ top }) => top?.index ?? null)).toEqual([4, null, 9]);
    expect(feed.rows.map(({ isFirst }) => isFirst)).toEqual([true, false, true]);
    expect(seriesOf(feed.rows, 9)).toEqual([0.5, 0, 2]);
    expect(seriesOf(feed.rows, 4)).toEqual([3, null, null]);
  });

  it('keeps a bounded number of rows, the newest, however many wait to be drawn', async () => {
    const { socket, begin, draw, positions } = await watching();
    begin('a', 0);
    const many = KEPT_ROWS * 3;
    for (let at = 0; at < many; at += 500) {
      const frames = Array.from({ length: 500 }, (_, place) => frame(at + place));
      socket.say('monitor:activations', message('a', at + 500, frames));
      if (at % 2000 === 0) draw();
    }
    draw();
    expect(positions().length).toBeLessThanOrEqual(KEPT_ROWS);
    expect(positions().length).toBeGreaterThan(KEPT_ROWS / 2);
    expect(positions().at(-1)).toBe(many - 1);
    expect(positions()).toEqual([...positions()].sort((a, b) => a - b));
  });

  it('adds up what was dropped over its subscriptions, each of which counts from zero', async () => {
    const { socket, feed, begin, draw } = await watching();
    begin('a', 0);
    socket.say('monitor:activations', message('a', 1, [frame(1)], 10));
    socket.say('monitor:activations', message('a', 2, [frame(2)], 12));
    draw();
    expect([feed.dropped, feed.droppedUpstream]).toEqual([12, 7]);
    socket.drop();
    expect(feed.isUp).toBe(false);
    socket.accept();
    begin('b', 0);
    socket.say('monitor:activations', message('b', 1, [frame(3)], 5));
    draw();
    expect(feed.dropped).toBe(17);
  });

  it('shows the snapshot of the new connection instead of what it had, and asks for the same', async () => {
    const { socket, asked, begin, draw, positions } = await watching([3]);
    begin('a', 900, [frame(1)]);
    socket.say('monitor:activations', message('a', 901, [frame(2)])); // still undrawn when the connection goes
    socket.drop();
    socket.accept();
    expect(asked().map(([, ask]) => ask)).toEqual(Array(2).fill({ sae_id: 'demo', features: [3], top_k: 8 }));
    begin('b', 1, [frame(2), frame(3)]);
    draw();
    expect(positions()).toEqual([2, 3]);
  });

  it('keeps what it shows while paused, watches nothing, and begins afresh', async () => {
    const { socket, feed, asked, begin, draw, positions } = await watching();
    begin('a', 0);
    socket.say('monitor:activations', message('a', 1, [frame(1)]));
    feed.pause();
    expect(positions()).toEqual([1]); // what had arrived is shown
    expect(socket.sent.at(-1)).toEqual(['monitor:unsubscribe', { subscription_id: 'a' }]);
    socket.say('monitor:activations', message('a', 2, [frame(2)]));
    draw();
    expect(positions()).toEqual([1]);
    feed.resume();
    expect(asked()).toHaveLength(2);
    begin('b', 3, [frame(1), frame(2), frame(3)]);
    expect(positions()).toEqual([1, 2, 3]);
  });

  it('forgets everything that was seen when anybody clears, but not what was lost', async () => {
    const { socket, feed, begin, draw } = await watching();
    begin('a', 0);
    socket.say('monitor:activations', message('a', 1, [frame(1)], 2));
    draw();
    feed.clear();
    expect(socket.sent.at(-1)).toEqual(['monitor:clear']);
    socket.say('monitor:cleared', { seq: 1 });
    expect([feed.rows.length, feed.statistics.length, feed.tokens, feed.dropped]).toEqual([0, 0, 0, 2]);
  });

  it('asks for the statistics of what is watched and keeps the order of choosing', async () => {
    const { feed, source, begin } = await watching([2, 1]);
    source.getStatistics.mockResolvedValue({
      sae_id: 'demo',
      features: [statistic(1), statistic(2)],
      total_activations: 40,
      since: '2026-01-01T00:00:00.000Z',
    });
    begin('a', 0);
    await settled();
    expect(source.getStatistics.mock.lastCall?.[0]).toMatchObject({ sae_id: 'demo', features: '2,1', limit: 2 });
    expect(feed.statistics.map(({ feature_idx }) => feature_idx)).toEqual([2, 1]);
    expect(feed.tokens).toBe(40);
  });

  it('tells why it may not watch, and leaves when it is closed', async () => {
    const { socket, feed, begin } = await watching();
    begin('a', 0);
    socket.say('monitor:error', { code: 'SAE_NOT_ATTACHED', message: 'None.' });
    expect(feed.error?.code).toBe('SAE_NOT_ATTACHED');
    feed.close();
    expect(socket.sent.at(-1)).toEqual(['monitor:unsubscribe', { subscription_id: 'a' }]);
    expect(socket.isWanted).toBe(false);
  });
});

describe('the address of the monitor', () => {
  it('holds what is watched, and reads what it wrote', () => {
    const watched = { saeId: 'a/b c', features: [3, 7], topK: 5, requestId: 'req 1' };
    expect(watchedFrom(new URLSearchParams(queryFor(watched)))).toEqual(watched);
    expect(askFor(watched)).toEqual({ sae_id: 'a/b c', features: [3, 7], top_k: 5, request_id: 'req 1' });
    expect(queryFor(watchedFrom(new URLSearchParams()))).toBe('');
  });

  it('takes only what can be watched from an address written by hand', () => {
    const read = watchedFrom(new URLSearchParams('features=3,x,-1,3,7&top_k=900'));
    expect(read).toMatchObject({ features: [3, 7], topK: 64, saeId: null, requestId: null });
    expect(watchedFrom(new URLSearchParams('top_k=abc')).topK).toBe(8);
  });
});
