import { describe, expect, it, vi } from 'vitest';
import { fakeChannel, FakeSocket, settled } from '../../../tests/samples/fake-socket.ts';
import { Channel } from './channel.ts';

interface Events {
  news: (text: string) => void;
}

describe('a channel', () => {
  it('connects for the first listener and leaves with the last', async () => {
    const { socket, channel } = fakeChannel<Events>();
    const leave = [channel.join({}), channel.join({})];
    await settled();
    expect(socket.isWanted).toBe(true);
    leave[0]?.();
    leave[0]?.(); // leaving twice is leaving once
    expect(socket.isWanted).toBe(true);
    leave[1]?.();
    expect(socket.isWanted).toBe(false);
  });

  it('opens one socket for all of them', async () => {
    const open = vi.fn(() => Promise.resolve(new FakeSocket()));
    const channel = new Channel<Events>(open);
    channel.join({});
    channel.join({});
    await settled();
    expect(open).toHaveBeenCalledOnce();
  });

  it('tells each listener its events, until it leaves', async () => {
    const { socket, channel } = fakeChannel<Events>();
    const [first, second] = [vi.fn(), vi.fn()];
    const leave = channel.join({ news: first });
    channel.join({ news: second });
    await settled();
    socket.say('news', 'a');
    leave();
    socket.say('news', 'b');
    expect(first.mock.calls).toEqual([['a']]);
    expect(second.mock.calls).toEqual([['a'], ['b']]);
  });

  it('says up at every connection, and at once to who joins a standing one', async () => {
    const { socket, channel } = fakeChannel<Events>();
    const [up, down, late] = [vi.fn(), vi.fn(), vi.fn()];
    channel.join({ up, down });
    await settled();
    socket.accept();
    socket.drop();
    socket.accept();
    expect(up).toHaveBeenCalledTimes(2);
    expect(down).toHaveBeenCalledOnce();
    channel.join({ up: late });
    await settled();
    expect(late).toHaveBeenCalledOnce();
  });

  it('never connects for a listener who left before the socket was there', async () => {
    const { socket, channel } = fakeChannel<Events>();
    channel.join({})();
    await settled();
    expect(socket.isWanted).toBe(false);
  });

  it('sends only while connected', async () => {
    const { socket, channel } = fakeChannel<Events, { ask: (what: string) => void }>();
    channel.join({});
    await settled();
    expect(channel.send('ask', 'early')).toBe(false);
    socket.accept();
    expect(channel.send('ask', 'now')).toBe(true);
    expect(socket.sent).toEqual([['ask', 'now']]);
  });

  it('tries again for the next listener when the socket could not be made', async () => {
    const open = vi.fn<() => Promise<FakeSocket>>(() => Promise.reject(new Error('no chunk')));
    const channel = new Channel<Events>(open);
    channel.join({});
    await settled();
    channel.join({});
    await settled();
    expect(open).toHaveBeenCalledTimes(2);
  });
});
