import type { MonitorMessage, MonitorSnapshot, Reply } from '@millm/proto/live';
import { describe, expect, it, vi } from 'vitest';
import { fakeChannel, settled } from '../../../tests/samples/fake-socket.ts';
import { watchMonitor, type MonitorChannel, type MonitorHandlers } from './monitor.ts';

const snapshot = (subscription_id: string, seq: number): MonitorSnapshot => ({
  subscription_id,
  ask: { sae_id: 'demo', top_k: 8, features: [], request_id: null },
  gateway_id: 'g',
  seq,
  frames: [],
  statistics: [],
  tokens: 0,
});
const message = (subscription_id: string, seq: number): MonitorMessage => ({
  subscription_id,
  seq,
  frames: [],
  dropped: 0,
  dropped_upstream: 0,
});

async function watching() {
  const { socket, channel } = fakeChannel();
  const handlers = {
    onSnapshot: vi.fn<MonitorHandlers['onSnapshot']>(),
    onMessage: vi.fn<MonitorHandlers['onMessage']>(),
    onError: vi.fn(),
    onUp: vi.fn(),
    onCleared: vi.fn(),
  };
  const watch = watchMonitor(channel as unknown as MonitorChannel, { top_k: 8 }, handlers);
  await settled();
  socket.accept();
  const asked = () => socket.sent.filter(([event]) => event === 'monitor:subscribe');
  const answer = (at: number, subscription_id: string) => {
    const reply = asked()[at]?.[2] as Reply<{ subscription_id: string; seq: number }>;
    reply({ success: true, data: { subscription_id, seq: 0 }, error: null });
  };
  const refuse = (at: number) => {
    const reply = asked()[at]?.[2] as Reply<never>;
    reply({ success: false, data: null, error: { code: 'SAE_NOT_ATTACHED', message: 'None.' } });
  };
  const left = () => socket.sent.filter(([event]) => event === 'monitor:unsubscribe').map(([, target]) => target);
  return { socket, watch, handlers, asked, answer, refuse, left };
}

describe('watching', () => {
  it('gives the snapshot, then only what is newer and its own', async () => {
    const { socket, handlers, answer } = await watching();
    answer(0, 'a');
    socket.say('monitor:snapshot', snapshot('a', 5));
    socket.say('monitor:activations', message('a', 5));
    socket.say('monitor:activations', message('other', 6));
    socket.say('monitor:activations', message('a', 6));
    socket.say('monitor:activations', message('a', 6));
    expect(handlers.onSnapshot).toHaveBeenCalledOnce();
    expect(handlers.onMessage.mock.calls.map(([{ seq }]) => seq)).toEqual([6]);
  });

  it('is told of a clearing while nothing streams, and not of one older than its snapshot', async () => {
    const { socket, handlers, answer } = await watching();
    answer(0, 'a');
    socket.say('monitor:snapshot', snapshot('a', 5));
    socket.say('monitor:cleared', { seq: 4 });
    expect(handlers.onCleared).not.toHaveBeenCalled();
    socket.say('monitor:cleared', { seq: 5 });
    expect(handlers.onCleared).toHaveBeenCalledOnce();
  });

  it('takes a snapshot that overtakes the answer saying whose it is', async () => {
    const { socket, handlers, answer } = await watching();
    socket.say('monitor:snapshot', snapshot('a', 5));
    expect(handlers.onSnapshot).not.toHaveBeenCalled();
    answer(0, 'a');
    expect(handlers.onSnapshot).toHaveBeenCalledOnce();
  });

  it('asks again after a lost connection, and begins with the new snapshot whatever its count', async () => {
    const { socket, handlers, asked, answer } = await watching();
    answer(0, 'a');
    socket.say('monitor:snapshot', snapshot('a', 900));
    socket.drop();
    socket.accept();
    expect(asked()).toHaveLength(2);
    answer(1, 'b');
    socket.say('monitor:snapshot', snapshot('b', 1)); // another gateway counts from the beginning
    socket.say('monitor:activations', message('b', 2));
    expect(handlers.onMessage.mock.calls.map(([{ seq }]) => seq)).toEqual([2]);
    expect(handlers.onUp.mock.calls).toEqual([[true], [false], [true]]);
  });

  it('leaves the old subscription when it watches something else, even one not answered yet', async () => {
    const { watch, handlers, asked, answer, left, socket } = await watching();
    watch.change({ features: [3] });
    answer(0, 'late');
    expect(left()).toEqual([{ subscription_id: 'late' }]);
    answer(1, 'b');
    socket.say('monitor:snapshot', snapshot('b', 1));
    expect(asked()[1]?.[1]).toEqual({ features: [3] });
    expect(handlers.onSnapshot).toHaveBeenCalledOnce();
  });

  it('asks once more when leaving an older asking for the same has ended the newer', async () => {
    const { socket, watch, handlers, asked, answer, left } = await watching();
    watch.pause();
    watch.resume();
    answer(0, 'same');
    expect(left()).toEqual([{ subscription_id: 'same' }]); // the server ends both by it
    answer(1, 'same');
    expect(asked()).toHaveLength(3);
    answer(2, 'same');
    socket.say('monitor:snapshot', snapshot('same', 1));
    expect(handlers.onSnapshot).toHaveBeenCalledOnce();
  });

  it('is nobody’s watcher while paused, and begins afresh', async () => {
    const { watch, handlers, asked, answer, left, socket } = await watching();
    answer(0, 'a');
    watch.pause();
    expect(left()).toEqual([{ subscription_id: 'a' }]);
    socket.say('monitor:activations', message('a', 9));
    socket.drop();
    socket.accept();
    expect(asked()).toHaveLength(1);
    watch.resume();
    watch.resume();
    expect(asked()).toHaveLength(2);
    expect(handlers.onMessage).not.toHaveBeenCalled();
  });

  it('tells why it may not watch', async () => {
    const { handlers, refuse } = await watching();
    refuse(0);
    expect(handlers.onError).toHaveBeenCalledWith({ code: 'SAE_NOT_ATTACHED', message: 'None.' });
  });

  it('leaves when it is closed', async () => {
    const { socket, watch, handlers, answer, left } = await watching();
    answer(0, 'a');
    socket.say('monitor:cleared', { seq: 3 });
    expect(handlers.onCleared).toHaveBeenCalledOnce();
    watch.clear();
    watch.close();
    expect(left()).toEqual([{ subscription_id: 'a' }]);
    expect(socket.isWanted).toBe(false);
  });
});
