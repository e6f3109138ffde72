import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFeed } from '../../src/inference/feed.ts';
import type { FeedNews } from '../../src/inference/feed.ts';
import { feedEvent } from '../../src/inference/feed-contract.ts';
import { inferenceClient } from '../../src/inference/client.ts';
import type { Logger } from '../../src/log.ts';
import { changesBetween, nothingLoaded } from '../../src/system/changes.ts';
import { createProgress } from '../../src/system/progress.ts';
import { until } from '../build-test-app.ts';
import { startFakeInference } from '../fake-inference.ts';

async function listen() {
  const fake = await startFakeInference();
  onTestFinished(() => fake.close());
  const client = inferenceClient({ url: fake.url, loadTimeoutMs: 1_000, streamIdleTimeoutMs: 1_000 });
  const events: string[] = [];
  const write = (fields: unknown) => void events.push((fields as { event: string }).event);
  const log = { debug: () => undefined, info: write, warn: write, error: write } as unknown as Logger;
  const feed = createFeed({ client, log, firstRetryMs: 20, lastRetryMs: 100 });
  const news: FeedNews[] = [];
  feed.on((item) => news.push(item));
  onTestFinished(async () => {
    await feed.close();
    await client.close();
  });
  return { fake, client, feed, news, events, types: () => news.map(({ type }) => type) };
}
const load = (stage: 'reading' | 'ready') => ({ type: 'load' as const, model_id: 'm', stage, message: null });

describe('the feed', () => {
  it('begins with a snapshot and keeps what was said last', async () => {
    const { fake, feed, news, types } = await listen();
    feed.start();
    await until(() => feed.isConnected());
    fake.feed.publish(load('reading'));
    fake.feed.metrics(3);
    await until(() => news.length === 3);
    expect(types()).toEqual(['snapshot', 'load', 'metrics']);
    expect(feed.instanceId()).toBe(fake.state().instance_id);
    expect(feed.metrics()?.queue.tokens_per_second).toBe(3);
    expect(feed.load()?.stage).toBe('reading');
  });

  it('goes on after a cut with what came meanwhile, once and in order', async () => {
    const { fake, feed, news, types } = await listen();
    feed.start();
    await until(() => feed.isConnected());
    fake.feed.publish(load('reading'));
    await until(() => news.length === 2);
    fake.feed.cut();
    fake.feed.publish(load('ready'));
    fake.feed.metrics(1);
    await until(() => news.length === 6);
    expect(types()).toEqual(['snapshot', 'load', 'lost', 'resumed', 'load', 'metrics']);
    expect(feed.load()?.stage).toBe('ready');
  });

  it('starts from a snapshot when too much was missed, or another process answers', async () => {
    const { fake, feed, news, types } = await listen();
    feed.start();
    await until(() => feed.isConnected());
    fake.feed.cut();
    fake.feed.ringSize = 2;
    for (let n = 0; n < 5; n += 1) fake.feed.metrics(n);
    await until(() => types().filter((type) => type === 'snapshot').length === 2);
    const before = feed.instanceId();
    fake.restart();
    await until(() => types().filter((type) => type === 'snapshot').length === 3);
    expect(feed.instanceId()).not.toBe(before);
    expect(types().filter((type) => type === 'lost')).toHaveLength(2);
    expect(news.at(-1)).toMatchObject({ type: 'snapshot', seq: 0 });
  });

  it('says once that nothing answers, and goes on trying', async () => {
    const { fake, feed, events } = await listen();
    const { port } = fake;
    await fake.close();
    feed.start();
    await until(() => events.includes('feed:lost'));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(events.filter((event) => event === 'feed:lost')).toHaveLength(1);
    const again = await startFakeInference(port);
    onTestFinished(() => again.close());
    await until(() => feed.isConnected());
  });

  it('survives an event outside the contract and a listener that throws', async () => {
    const { fake, feed, types, events } = await listen();
    feed.on(() => {
      throw new Error('no');
    });
    feed.start();
    await until(() => feed.isConnected());
    fake.feed.publish({ type: 'surprise' } as never);
    await until(() => types().filter((type) => type === 'snapshot').length === 2);
    expect(types()).toEqual(['snapshot', 'lost', 'snapshot']);
    expect(events).toContain('feed:listener-failed');
  });
});

describe('what changed between two states', () => {
  const model = (model_id: string) => ({ model_id, path: model_id, quantization: null }) as never;
  const sae = (sae_id: string, layer = 1) => ({ sae_id, path: sae_id, hook: 'h', layer }) as never;
  const types = (...states: Parameters<typeof changesBetween>) => changesBetween(...states).map(({ type }) => type);

  it('is nothing, what came, what went, and everything when the model is another', () => {
    const full = { model: model('a'), saes: [sae('x'), sae('y')] };
    expect(types(full, { ...full })).toEqual([]);
    expect(types(nothingLoaded, full)).toEqual(['model:loaded', 'sae:attached', 'sae:attached']);
    expect(types(full, nothingLoaded)).toEqual(['sae:detached', 'sae:detached', 'model:unloaded']);
    expect(changesBetween(full, { ...full, saes: [sae('x', 2), sae('y')] })).toMatchObject([
      { type: 'sae:detached', saeId: 'x' },
      { type: 'sae:attached', sae: { sae_id: 'x', layer: 2 } },
    ]);
    expect(types(full, { model: model('b'), saes: [sae('x')] })).toEqual([
      'sae:detached',
      'sae:detached',
      'model:unloaded',
      'model:loaded',
      'sae:attached',
    ]);
  });
});

describe('progress', () => {
  const download = (seq: number, state: 'running' | 'done', bytes_done: number) => ({
    download_id: 'd',
    kind: 'model' as const,
    repo_id: 'o/n',
    revision: null,
    path: null,
    state,
    bytes_done,
    bytes_total: 10,
    bytes_per_second: 0,
    local_path: null,
    error: null,
    seq,
  });

  it('is at most one update per interval, never an older one, and the end at once', async () => {
    const sent: number[] = [];
    const progress = createProgress({ send: ({ seq }) => sent.push(seq), intervalMs: 60 });
    onTestFinished(() => progress.close());
    for (let n = 1; n <= 5; n += 1) progress.download(download(n, 'running', n));
    expect(sent).toEqual([1]);
    await until(() => sent.length === 2);
    expect(sent).toEqual([1, 5]);
    progress.download(download(3, 'running', 3));
    progress.download(download(6, 'running', 6));
    progress.download(download(7, 'done', 10));
    expect(sent).toEqual([1, 5, 7]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(sent).toEqual([1, 5, 7]);
    expect(progress.all()).toMatchObject([{ state: 'done', progress: 100, is_final: true }]);
  });
});

describe('golden messages of the feed', () => {
  const folder = new URL('../../../proto/fixtures/', import.meta.url);
  const names = readdirSync(folder).filter((name) => name.startsWith('feed-event.'));

  it.each(names)('%s is parsed and written again unchanged', (name) => {
    const message: unknown = JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
    expect(feedEvent.parse(message)).toEqual(message);
  });

  it('are one for every kind of event', () => {
    const kinds = feedEvent.options.map((option) => option.shape.type.value).sort();
    expect(names.map((name) => name.split('.')[1]).sort()).toEqual(kinds);
  });
});
