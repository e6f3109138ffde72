import { setTimeout as sleep } from 'node:timers/promises';
import type { MonitorMessage } from '@millm/proto/live';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AppError } from '../../src/errors.ts';
import type { Watch } from '../../src/inference/feed-contract.ts';
import type { Logger } from '../../src/log.ts';
import { createDelivery } from '../../src/monitoring/delivery.ts';
import { project, subscriptionId, unionOf } from '../../src/monitoring/projection.ts';
import { createRecorder } from '../../src/monitoring/recorder.ts';
import type { Recorder } from '../../src/monitoring/recorder.ts';
import { runningStatistics } from '../../src/monitoring/statistics.ts';
import { createSubscriptions } from '../../src/monitoring/subscriptions.ts';

const nothing = () => undefined;
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing } as unknown as Logger;

function add(recorder: Recorder, position: number, { request = 'r', sae = 'demo', value = 1, ranked = true } = {}) {
  const frame = { request_id: request, choice: 0, position, token_id: 1, token: ' a', prompt: false, sae_id: sae };
  return recorder.add({ ...frame, features: [{ index: 7, value, label: null }] }, ranked);
}
const positions = (frames: Iterable<{ position: number }>) => [...frames].map(({ position }) => position);

describe('statistics', () => {
  it('are those of the definition, however large the mean', () => {
    const values = [1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16, 0];
    const running = runningStatistics();
    for (const value of values) running.add([{ index: 3, value }], true);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const std = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    const [found] = running.list();
    expect(found).toMatchObject({ index: 3, count: 5, min: 0, max: 1e9 + 16, activeRatio: 0.8 });
    expect(found?.mean).toBeCloseTo(mean, 3);
    expect(found?.std).toBeCloseTo(std, 3);
  });

  it('know that a feature absent from the strongest was not active', () => {
    const running = runningStatistics();
    running.add([{ index: 1, value: 2 }], true);
    running.add([{ index: 2, value: 2 }], true);
    running.add([{ index: 1, value: 2 }], false); // only named features were read here: nothing is known of 2
    expect(running.list()).toMatchObject([
      { index: 1, count: 2, activeRatio: 2 / 3 },
      { index: 2, count: 1, activeRatio: 1 / 2 },
    ]);
  });
});

describe('the recorder', () => {
  it('keeps the newest, and hands out what is newer than a cursor', () => {
    const recorder = createRecorder({ frameLimit: 5 });
    for (let n = 1; n <= 8; n += 1) add(recorder, n);
    expect(positions(recorder.newerThan(0))).toEqual([4, 5, 6, 7, 8]);
    expect(positions(recorder.newerThan(6))).toEqual([7, 8]);
    expect(positions(recorder.newerThan(8))).toEqual([]);
    recorder.resize(3);
    expect(positions(recorder.newerThan(0))).toEqual([6, 7, 8]);
    recorder.resize(10);
    for (let n = 9; n <= 12; n += 1) add(recorder, n);
    expect(positions(recorder.newerThan(0))).toEqual([6, 7, 8, 9, 10, 11, 12]);
    expect(recorder.size()).toBe(7);
  });

  it('forgets when told to, but never counts a number twice', () => {
    const recorder = createRecorder();
    add(recorder, 1);
    recorder.clear();
    expect(recorder.size()).toBe(0);
    expect(recorder.statistics('demo')).toEqual([]);
    expect(recorder.requests()).toEqual([]);
    add(recorder, 2);
    expect(recorder.seq()).toBe(2);
    expect(positions(recorder.newerThan(0))).toEqual([2]);
  });

  it('pages its history newest first, by request and by SAE', () => {
    const recorder = createRecorder();
    for (let n = 1; n <= 6; n += 1) add(recorder, n, { request: n % 2 ? 'odd' : 'even', sae: n > 4 ? 'b' : 'a' });
    const page = (query: object) => recorder.history({ skip: 0, limit: 10, ...query });
    expect(positions(page({}).items)).toEqual([6, 5, 4, 3, 2, 1]);
    expect(positions(page({ request_id: 'odd', skip: 1, limit: 1 }).items)).toEqual([3]);
    expect(page({ request_id: 'odd', sae_id: 'b' }).total).toBe(1);
    expect(recorder.requests().map(({ request_id, frames, sae_ids }) => [request_id, frames, sae_ids])).toEqual([
      ['even', 3, ['a', 'b']],
      ['odd', 3, ['a', 'b']],
    ]);
  });
});

describe('projection', () => {
  const read = [
    { index: 5, value: 0 },
    { index: 9, value: 2 },
    { index: 1, value: 7 },
    { index: 4, value: 3 },
  ];

  it('takes out of the union what one asked for, as if it had asked alone', () => {
    const ask = (top_k: number, features: number[]) => project({ top_k, features }, read).map(({ index }) => index);
    expect(ask(2, [])).toEqual([1, 4]);
    expect(ask(0, [9, 5])).toEqual([9, 5]);
    expect(ask(2, [4, 5])).toEqual([4, 5, 1]); // 4 is among the two strongest, and named once
    expect(ask(10, [])).toEqual([1, 4, 9]);
    expect(ask(0, [77])).toEqual([]);
  });

  it('joins watches per SAE, in one order whoever came first', () => {
    const watches = [
      { sae_id: 'b', top_k: 1, features: [3] },
      { sae_id: 'a', top_k: 0, features: [2] },
      { sae_id: 'b', top_k: 4, features: [1, 3] },
      { sae_id: 'c', top_k: 0, features: [] },
    ];
    const union = [
      { sae_id: 'a', top_k: 0, features: [2] },
      { sae_id: 'b', top_k: 4, features: [1, 3] },
    ];
    expect(unionOf(watches)).toEqual(union);
    expect(unionOf(watches.toReversed())).toEqual(union);
  });
});

describe('delivery', () => {
  const ask = { sae_id: 'demo', top_k: 1, features: [], request_id: null };

  function open({ frameLimit = 100, backlogLimit = 100 } = {}) {
    const recorder = createRecorder({ frameLimit });
    const sent: { receivers: readonly string[]; message: MonitorMessage; at: number }[] = [];
    const delivery = createDelivery({
      recorder,
      intervalMs: 30,
      backlogLimit,
      droppedUpstream: () => 0,
      send: (receivers, message) => sent.push({ receivers, message, at: performance.now() }),
    });
    onTestFinished(() => delivery.close());
    const tokens = (from: number, to: number, options = {}) => {
      const frames = [];
      for (let n = from; n <= to; n += 1) frames.push(add(recorder, n, options));
      delivery.notify(frames);
    };
    return { delivery, sent, tokens };
  }
  const settle = () => sleep(90);

  it('puts every token since the last into one message, made once for all who stand at the same place', async () => {
    const { delivery, sent, tokens } = open();
    delivery.subscribe(ask, { id: 'a', isReady: () => true });
    delivery.subscribe(ask, { id: 'b', isReady: () => true });
    for (let n = 1; n <= 9; n += 3) {
      tokens(n, n + 2);
      await sleep(10);
    }
    await settle();
    expect(sent.every(({ receivers }) => receivers.join() === 'a,b')).toBe(true);
    expect(positions(sent.flatMap(({ message }) => message.frames))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const gaps = sent.slice(1).map(({ at }, n) => at - (sent[n]?.at ?? 0));
    expect(gaps.every((gap) => gap >= 29)).toBe(true);
  });

  it('waits for who is not ready, keeps the newest, and counts exactly what was lost of its own', async () => {
    const { delivery, sent, tokens } = open({ frameLimit: 10 });
    let isReady = false;
    delivery.subscribe({ ...ask, request_id: 'mine' }, { id: 'slow', isReady: () => isReady });
    tokens(1, 8, { request: 'mine' });
    tokens(9, 14, { request: 'other' });
    tokens(15, 16, { request: 'mine' });
    await settle();
    expect(sent).toEqual([]);
    isReady = true;
    await settle();
    expect(sent).toHaveLength(1);
    expect(positions(sent[0]?.message.frames ?? [])).toEqual([7, 8, 15, 16]);
    expect(sent[0]?.message.dropped).toBe(6);
    tokens(17, 17, { request: 'mine' });
    await settle();
    expect(sent[1]?.message).toMatchObject({ dropped: 6, frames: [{ position: 17 }] });
  });

  it('holds one message to its limit', async () => {
    const { delivery, sent, tokens } = open({ backlogLimit: 3 });
    delivery.subscribe(ask, { id: 'a', isReady: () => true });
    tokens(1, 10);
    await settle();
    expect(positions(sent[0]?.message.frames ?? [])).toEqual([8, 9, 10]);
    expect(sent[0]?.message.dropped).toBe(7);
  });

  it('is done with who left', async () => {
    const { delivery, sent, tokens } = open();
    delivery.subscribe(ask, { id: 'a', isReady: () => true });
    delivery.unsubscribe(subscriptionId(ask), 'a');
    tokens(1, 3);
    await settle();
    expect(sent).toEqual([]);
  });
});

describe('subscriptions', () => {
  function open() {
    const told: Watch[][] = [];
    let fails: AppError | null = null;
    const attached = [{ sae_id: 'demo' }];
    const subscriptions = createSubscriptions({
      client: {
        async setMonitor({ watches }) {
          await sleep(5);
          if (fails) throw fails;
          told.push(watches as Watch[]);
          return { watches };
        },
      },
      attached: () => attached,
      log,
    });
    return { subscriptions, told, attached, fail: (error: AppError | null) => void (fails = error) };
  }
  const watch = (top_k: number, features: number[] = [], sae_id = 'demo') => ({ sae_id, top_k, features });

  it('tell the sidecar the union, once per change, and an empty list in the end', async () => {
    const { subscriptions, told } = open();
    const releases = await Promise.all([watch(1), watch(3), watch(0, [9])].map(subscriptions.acquire));
    expect(told.at(-1)).toEqual([watch(3, [9])]);
    const before = told.length;
    await releases[0]?.();
    expect(told.length).toBe(before); // the union did not change
    await releases[0]?.();
    expect(subscriptions.watchers()).toBe(2);
    await releases[1]?.();
    await releases[2]?.();
    expect(told.at(-1)).toEqual([]);
  });

  it('refuse what the sidecar refuses, and keep the others', async () => {
    const { subscriptions, told, fail } = open();
    await subscriptions.acquire(watch(1));
    fail(new AppError('INVALID_FEATURE_INDEX', 'no'));
    await expect(subscriptions.acquire(watch(0, [9]))).rejects.toThrow('no');
    fail(null);
    await subscriptions.refresh();
    expect(told.at(-1)).toEqual([watch(1)]);
  });

  it('wait with an SAE that is not attached, and ask for it when it is', async () => {
    const { subscriptions, told, attached } = open();
    await subscriptions.acquire(watch(1));
    await subscriptions.acquire(watch(2, [], 'later'));
    expect(told.at(-1)).toEqual([watch(1)]);
    attached.push({ sae_id: 'later' });
    await subscriptions.refresh();
    expect(told.at(-1)).toEqual([watch(1), watch(2, [], 'later')]);
  });

  it('say it again to a sidecar that forgot, and not to one that knows', async () => {
    const { subscriptions, told } = open();
    await subscriptions.acquire(watch(1));
    await subscriptions.refresh([watch(1)]);
    expect(told).toHaveLength(1);
    await subscriptions.refresh([]);
    expect(told).toHaveLength(2);
    await subscriptions.setPaused(true);
    expect(told.at(-1)).toEqual([]);
    await subscriptions.setPeers([watch(5)]);
    await subscriptions.setPaused(false);
    expect(told.at(-1)).toEqual([watch(5)]);
  });
});
