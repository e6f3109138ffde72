import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { MonitorInfo, ProgressUpdate, SteeringUpdate, SystemMetrics, SystemSnapshot } from '@millm/proto/live';
import { describe, expect, it, onTestFinished } from 'vitest';
import { modelId, modelName, startStack, until } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { asInline, chatInline, connectLive, expectSameAsInline, subscribe } from '../live-client.ts';
import type { LiveClient } from '../live-client.ts';

const db = useDatabase();
const websocketGuid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const say = (content: string, more: object = {}) => ({
  model: modelName,
  messages: [{ role: 'user', content }],
  ...more,
});
const activations = { sae_id: 'demo', top_k: 3, features: [100, 200] };

describe('/monitor', () => {
  it('shows a subscriber exactly what the same request answers inline, for every token and choice, in order', async () => {
    const { url } = await startStack(db.database);
    const client = await connectLive(url, '/monitor');
    await subscribe(client, activations);
    const inline = await expectSameAsInline(url, client, activations, say('Hi there', { n: 2 }), 'req-same');
    expect(inline).toHaveLength(2);
    expect(client.frames().some((frame) => frame.prompt)).toBe(true);
    expect(client.messages().at(-1)).toMatchObject({ dropped: 0, dropped_upstream: 0 });
  });

  it('gives each subscriber what it asked for, though the sidecar reads the union', async () => {
    const { url, fake } = await startStack(db.database);
    const [top, chosen] = [await connectLive(url, '/monitor'), await connectLive(url, '/monitor')];
    await subscribe(top, { top_k: 2 });
    await subscribe(chosen, { features: [300, 100] });
    expect(fake.feed.watches()).toEqual([{ sae_id: 'demo', top_k: 2, features: [100, 300] }]);
    await chatInline(url, say('Hi'), 'r');
    await until(() => top.frames().length > 3 && chosen.frames().length === top.frames().length);
    expect(new Set(top.frames().map(({ features }) => features.map(({ index }) => index).join()))).toEqual(
      new Set(['1,2']),
    );
    expect(new Set(chosen.frames().map(({ features }) => features.map(({ index }) => index).join()))).toEqual(
      new Set(['300,100']),
    );
  });

  it('sends at most one message in 100 ms, holding every token since the last', async () => {
    const { url } = await startStack(db.database);
    const client = await connectLive(url, '/monitor');
    await subscribe(client, { top_k: 1 });
    const inline = await chatInline(url, say('[[slow]]', { max_tokens: 40, activations: { top_k: 1 } }), 'r');
    await until(() => asInline(client.frames(), 'r', 0).length === inline[0]?.length);
    const times = client.heard.filter(({ name }) => name === 'monitor:activations').map(({ at }) => at);
    const gaps = times.slice(1).map((at, n) => at - (times[n] ?? 0));
    expect(times.length).toBeGreaterThan(5);
    expect(gaps.filter((gap) => gap < 70)).toEqual([]); // arrival jitters, sending does not
    const seqs = client.messages().map(({ seq }) => seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
  });

  it('gives who comes late a snapshot, and then everything after it', async () => {
    const { url } = await startStack(db.database);
    const early = await connectLive(url, '/monitor');
    await subscribe(early, { top_k: 2 });
    const running = chatInline(url, say('[[slow]]', { max_tokens: 40 }), 'long');
    await until(() => early.frames().length > 10);
    const late = await connectLive(url, '/monitor');
    await subscribe(late, { top_k: 2 });
    await running;
    const [snapshot] = late.snapshots();
    expect(snapshot?.frames.length).toBeGreaterThan(5);
    expect(snapshot?.statistics[0]).toMatchObject({ feature_idx: 1, mean: 8, std: 0, active_ratio: 1 });
    expect(snapshot?.tokens).toBe(snapshot?.frames.length);
    const all = () => [...(snapshot?.frames ?? []), ...late.frames()];
    await until(() => all().length === early.frames().length && all().length > 40);
    expect(all().map(({ position }) => position)).toEqual(early.frames().map(({ position }) => position));
  });

  it('shows only the request that was asked for', async () => {
    const { url } = await startStack(db.database);
    const client = await connectLive(url, '/monitor');
    await subscribe(client, { top_k: 1, request_id: 'mine' });
    await chatInline(url, say('Hi'), 'other');
    const inline = await chatInline(url, say('Hi', { activations: { top_k: 1 } }), 'mine');
    await until(() => asInline(client.frames(), 'mine', 0).length === inline[0]?.length);
    expect(new Set(client.frames().map(({ request_id }) => request_id))).toEqual(new Set(['mine']));
  });

  it('costs nothing when nobody watches: leaving, closing and pausing turn the sidecar off', async () => {
    const { url, fake } = await startStack(db.database);
    const [a, b] = [await connectLive(url, '/monitor'), await connectLive(url, '/monitor')];
    await subscribe(a, { top_k: 1 });
    const id = await subscribe(b, { top_k: 1 });
    await a.ask('monitor:unsubscribe');
    expect(fake.feed.watches()).toHaveLength(1);
    await b.ask('monitor:pause', { subscription_id: id });
    expect(fake.feed.watches()).toEqual([]);
    await chatInline(url, say('Hi'), 'unseen');
    await b.ask('monitor:resume');
    expect(fake.feed.watches()).toHaveLength(1);
    expect(b.snapshots()).toHaveLength(2);
    await chatInline(url, say('Hi'), 'seen');
    await until(() => b.frames().length > 3);
    expect(new Set(b.frames().map(({ request_id }) => request_id))).toEqual(new Set(['seen']));
    b.socket.disconnect();
    await until(() => fake.feed.watches().length === 0);
    expect(fake.feed.monitorCalls.at(-1)).toEqual([]);
  });

  it('refuses with the codes of the API, and goes on', async () => {
    const { url, fake } = await startStack(db.database);
    const client = await connectLive(url, '/monitor');
    const codeOf = async (ask: unknown) => (await client.ask('monitor:subscribe', ask)).error?.code;
    expect(await codeOf({ sae_id: 'nope' })).toBe('SAE_NOT_ATTACHED');
    expect(await codeOf({ features: [99_999] })).toBe('INVALID_FEATURE_INDEX');
    expect(await codeOf({ top_k: 'many' })).toBe('VALIDATION_ERROR');
    expect(await codeOf(null)).toBe('VALIDATION_ERROR');
    client.socket.emit('monitor:subscribe', { sae_id: 'nope' });
    expect(await client.wait('monitor:error')).toMatchObject([{ code: 'SAE_NOT_ATTACHED' }]);
    expect(fake.feed.monitorCalls).toEqual([]);
    await subscribe(client, { top_k: 1 });
  });

  it('is told again what to watch when the sidecar comes back without it', async () => {
    const { url, fake } = await startStack(db.database);
    const client = await connectLive(url, '/monitor');
    await subscribe(client, { top_k: 1 });
    fake.restart();
    await until(() => fake.feed.watches().length === 1);
    await until(async () => (await fetch(`${url}/api/health/ready`)).ok);
    await chatInline(url, say('Hi'), 'after');
    await until(() => client.frames().some(({ request_id }) => request_id === 'after'));
  });

  it('misses nothing when the feed is cut: it goes on where it was', async () => {
    const { url, fake } = await startStack(db.database);
    const client = await connectLive(url, '/monitor');
    await subscribe(client, { top_k: 1 });
    const running = chatInline(url, say('[[slow]]', { max_tokens: 30, activations: { top_k: 1 } }), 'cut');
    await until(() => client.frames().length > 5);
    fake.feed.cut();
    const [inline = []] = await running;
    await until(() => asInline(client.frames(), 'cut', 0).length >= inline.length);
    expect(asInline(client.frames(), 'cut', 0)).toEqual(inline);
  });
});

describe('a client that does not read', () => {
  it('costs a bounded buffer: 50 others miss nothing, and it is told what it lost', async () => {
    const { url, fake, api } = await startStack(db.database);
    const kept = 200;
    await api('PUT', '/monitor', { history_size: kept });
    const watchers = await Promise.all(Array.from({ length: 50 }, () => connectLive(url, '/monitor')));
    await Promise.all(watchers.map((watcher) => subscribe(watcher, { top_k: 1 })));
    const stuck = await connectLive(url, '/monitor');
    // Large frames, so that what the operating system buffers is soon full.
    await subscribe(stuck, { features: Array.from({ length: 400 }, (_, n) => 1_000 + n) });
    socketOf(stuck).pause();

    const rounds = 40;
    const perRound = 50;
    const before = process.memoryUsage().rss;
    for (let round = 0; round < rounds; round += 1) {
      for (let n = 0; n < perRound; n += 1) fake.feed.read('flood', 0, 1, round * perRound + n, false);
      await until(() => watchers.every((watcher) => watcher.frames().length === (round + 1) * perRound));
    }
    const total = rounds * perRound;
    const inOrder = Array.from({ length: total }, (_, n) => n);
    for (const watcher of watchers) {
      expect(watcher.frames().map(({ position }) => position)).toEqual(inOrder);
      expect(watcher.messages().at(-1)?.dropped).toBe(0);
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(300 * 1024 * 1024);

    socketOf(stuck).resume();
    await until(() => stuck.messages().some(({ dropped }) => dropped > 0));
    fake.feed.read('end', 0, 1, 0, false);
    await until(() => stuck.frames().some(({ request_id }) => request_id === 'end'));
    const { dropped = 0 } = stuck.messages().at(-1) ?? {};
    expect(dropped + stuck.frames().length).toBe(total + 1);
    expect(dropped).toBeGreaterThan(total / 4);
    expect(stuck.messages().every(({ frames }) => frames.length <= kept)).toBe(true);
  }, 60_000);
});

/** The TCP connection below a client that uses WebSocket. */
function socketOf({ socket }: LiveClient): Socket {
  return (socket.io.engine.transport as unknown as { ws: { _socket: Socket } }).ws._socket;
}

describe('/system and /progress', () => {
  it('begins with a snapshot, and says what the sidecar measures', async () => {
    const { url, fake } = await startStack(db.database);
    const client = await connectLive(url, '/system');
    const [snapshot] = await client.wait<SystemSnapshot>('system:snapshot');
    expect(snapshot?.state?.model?.model_id).toBe(modelId);
    expect(snapshot?.steering).toMatchObject({ enabled: true, values: {}, activeCount: 0 });
    fake.feed.metrics(17.5);
    await until(() => client.of<SystemMetrics>('system:metrics').some(({ queue }) => queue.tokens_per_second === 17.5));
    expect(client.of<SystemMetrics>('system:metrics')[0]).toMatchObject({
      gpu_utilization: null,
      gpu_memory_used_mb: null,
      cpu_utilization: 12.5,
    });
  });

  it('says when models and SAEs come and go, and how a load gets on', async () => {
    const { url, api } = await startStack(db.database);
    const [client, progress] = [await connectLive(url, '/system'), await connectLive(url, '/progress')];
    await client.wait('system:snapshot');
    await api('POST', '/saes/demo/detach');
    expect(await client.wait('sae:detached')).toEqual([{ saeId: 'demo' }]);
    await api('POST', `/models/${modelId}/unload`);
    expect(await client.wait('model:unloaded')).toEqual([{ model_id: modelId }]);
    await api('POST', `/models/${modelId}/load`);
    expect(await client.wait('model:loaded')).toMatchObject([{ model: { model_id: modelId } }]);
    expect(client.of('model:load:complete')).toEqual([{ modelId, memoryUsedMb: 515 }]);
    await api('POST', '/saes/demo/attach');
    expect(await client.wait('sae:attached')).toMatchObject([{ saeId: 'demo', layer: 15, memoryMb: 9 }]);
    const updates = await progress.wait<ProgressUpdate>('progress:update', 2);
    expect(updates.map(({ kind, id, state }) => [kind, id, state])).toEqual([
      ['load', modelId, 'reading'],
      ['load', modelId, 'ready'],
    ]);
    expect((updates[1]?.seq ?? 0) > (updates[0]?.seq ?? 0)).toBe(true);
  });

  it('brings a download to its end at four updates a second, and never holds the end back', async () => {
    const { url, fake } = await startStack(db.database);
    const client = await connectLive(url, '/progress');
    await client.wait('progress:snapshot');
    const base = {
      download_id: 'd1',
      kind: 'model' as const,
      repo_id: 'org/name',
      revision: null,
      path: null,
      bytes_total: 100,
      bytes_per_second: 1,
      local_path: null,
      error: null,
    };
    for (let n = 0; n < 100; n += 1) fake.feed.download({ ...base, state: 'running', bytes_done: n, seq: n + 1 });
    fake.feed.download({ ...base, state: 'done', bytes_done: 100, local_path: '/models/x', seq: 101 });
    await until(() => client.of<ProgressUpdate>('progress:update').some(({ is_final }) => is_final));
    const updates = client.of<ProgressUpdate>('progress:update');
    expect(updates.length).toBeLessThan(5);
    expect(updates.at(-1)).toMatchObject({ kind: 'download', id: 'd1', state: 'done', progress: 100, seq: 101 });
    const late = await connectLive(url, '/progress');
    const [snapshot] = await late.wait<{ items: ProgressUpdate[] }>('progress:snapshot');
    expect(snapshot?.items.find(({ id }) => id === 'd1')).toMatchObject({ state: 'done' });
  });

  it('says when the active steering changes', async () => {
    const { url, api } = await startStack(db.database);
    const client = await connectLive(url, '/system');
    await client.wait('system:snapshot');
    await api('PUT', '/steering', {
      features: [
        { index: 7, strength: 2.5 },
        { index: 8, op: 'ablate' },
      ],
    });
    const [update] = await client.wait<SteeringUpdate>('steering:update');
    expect(update).toMatchObject({ enabled: true, values: { 7: 2.5 }, activeCount: 2 });
    await api('POST', '/steering/disable');
    const updates = await client.wait<SteeringUpdate>('steering:update', 2);
    expect(updates[1]).toMatchObject({ enabled: false });
  });

  it('says when the sidecar is gone and when it is back', async () => {
    const { url, fake } = await startStack(db.database);
    const client = await connectLive(url, '/system');
    await client.wait('system:snapshot');
    fake.restart();
    const said = await client.wait<{ reachable: boolean }>('system:sidecar', 2);
    expect(said.map(({ reachable }) => reachable)).toEqual([false, true]);
    await client.wait('model:loaded');
  });
});

describe('monitoring over HTTP', () => {
  it('keeps history and statistics of a standing watch that nobody looks at', async () => {
    const { url, api, fake } = await startStack(db.database);
    const set = await api('PUT', '/monitor', { watches: [{ sae_id: 'demo', top_k: 2, features: [7] }] });
    expect(set.body.data).toMatchObject({ enabled: true, subscribers: 0, paused: false });
    expect(fake.feed.watches()).toHaveLength(1);
    await chatInline(url, say('Hi'), 'kept');
    const history = async (query = '') => (await api('GET', `/monitor/history${query}`)).body.data as unknown as Page;
    await until(async () => (await history()).total > 3);
    const { items, total } = await history('?request_id=kept&limit=2');
    expect(items).toHaveLength(2);
    expect(items[0]).toMatchObject({ request_id: 'kept', sae_id: 'demo', activations: { 1: 8, 7: 1.5 } });
    expect(items[0]?.top_k[0]).toEqual([1, 8]);
    expect(items[0]?.features).toContainEqual(expect.objectContaining({ index: 7, label: 'feature 7 about calm' }));
    expect((await history('?request_id=other')).total).toBe(0);
    const statistics = (await api('GET', '/monitor/statistics?features=1,7')).body.data as unknown as Statistics;
    expect(statistics).toMatchObject({ sae_id: 'demo', total_activations: total });
    expect(statistics.features[0]).toMatchObject({ feature_idx: 1, count: total, mean: 8, std: 0, active_ratio: 1 });
    const state = (await api('GET', '/monitor')).body.data as unknown as MonitorInfo & { requests: unknown[] };
    expect(state.requests).toMatchObject([{ request_id: 'kept', frames: total, sae_ids: ['demo'] }]);

    await api('DELETE', '/monitor/history');
    expect((await history()).total).toBe(0);
    await api('PUT', '/monitor', { paused: true });
    expect(fake.feed.watches()).toEqual([]);
    await api('PUT', '/monitor', { paused: false });
    expect(fake.feed.watches()).toHaveLength(1);
    await api('PUT', '/monitor', { watches: [] });
    expect(fake.feed.watches()).toEqual([]);
  });

  it('refuses a watch that cannot be', async () => {
    const { api } = await startStack(db.database);
    expect((await api('PUT', '/monitor', { watches: [{ sae_id: 'nope', top_k: 1 }] })).body.error?.code).toBe(
      'SAE_NOT_ATTACHED',
    );
    expect((await api('PUT', '/monitor', { history_size: 0 })).status).toBe(422);
  });
});

interface Page {
  items: {
    request_id: string;
    top_k: [number, number][];
    features: { index: number; label: string | null }[];
  }[];
  total: number;
}
interface Statistics {
  features: { feature_idx: number }[];
}

describe('the door', () => {
  it('asks sockets for a key where one is needed', async () => {
    const { url } = await startStack(db.database, { env: { MILLM_API_KEYS: 'secret' } });
    await expect(connectLive(url, '/monitor')).rejects.toThrow('Incorrect API key');
    await expect(connectLive(url, '/system', { auth: { token: 'wrong' } })).rejects.toThrow('Incorrect API key');
    await connectLive(url, '/progress', { auth: { token: 'secret' } });
    await connectLive(url, '/monitor', { extraHeaders: { authorization: 'Bearer secret' } });
  });

  it('lets in our own pages and those that were named, not any page', async () => {
    const { url } = await startStack(db.database, { env: { MILLM_CORS_ORIGINS: 'https://friend.example' } });
    const from = (origin: string) => connectLive(url, '/system', { extraHeaders: { origin }, reconnection: false });
    await from(url);
    await from('https://friend.example');
    await expect(from('https://elsewhere.example')).rejects.toThrow();
  });

  it('shares the port with the development server of the dashboard, WebSockets of both included', async () => {
    const vite = createServer().on('upgrade', (request, socket) => {
      const accept = createHash('sha1')
        .update(`${request.headers['sec-websocket-key']}${websocketGuid}`)
        .digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
    });
    await new Promise<void>((resolve) => vite.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void vite.close().closeAllConnections());
    const { port } = vite.address() as AddressInfo;
    const { url } = await startStack(db.database, { env: { MILLM_WEB_DEV_URL: `http://127.0.0.1:${port}` } });
    const client = await connectLive(url, '/monitor');
    await subscribe(client, { top_k: 1 });
    const reload = new WebSocket(`${url.replace('http', 'ws')}/hmr`);
    await once(reload, 'open');
    await new Promise((resolve) => setTimeout(resolve, 1_200)); // longer than a stray upgrade would live
    await chatInline(url, say('Hi'), 'dev');
    await until(() => client.frames().length > 3);
    expect(reload.readyState).toBe(WebSocket.OPEN);
    reload.close();
  });

  it('closes with clients connected', async () => {
    const { url, app } = await startStack(db.database);
    const client = await connectLive(url, '/monitor', { reconnection: false });
    const polling = await connectLive(url, '/system', { transports: ['polling'], reconnection: false });
    await subscribe(client, { top_k: 1 });
    const started = performance.now();
    await app.close();
    expect(performance.now() - started).toBeLessThan(3_000);
    await until(() => !client.socket.connected && !polling.socket.connected);
  });
});
