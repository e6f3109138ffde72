/** A socket without a network: the test is the server. */
import { Channel, type LiveSocket } from '#lib/live/channel.ts';

type Listener = (...values: unknown[]) => void;

export class FakeSocket implements LiveSocket {
  connected = false;
  isWanted = false;
  readonly sent: [event: string, ...values: unknown[]][] = [];
  readonly #listeners = new Map<string, Set<Listener>>();

  on(event: string, listener: (...values: never[]) => void): void {
    const set = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, set.add(listener as Listener));
  }
  off(event: string, listener: (...values: never[]) => void): void {
    this.#listeners.get(event)?.delete(listener as Listener);
  }
  emit(event: string, ...values: unknown[]): void {
    this.sent.push([event, ...values]);
  }
  connect(): void {
    this.isWanted = true;
  }
  disconnect(): void {
    this.isWanted = false;
    this.connected = false;
  }

  // ---- what the server does ----
  accept(): void {
    this.connected = true;
    this.say('connect');
  }
  drop(): void {
    this.connected = false;
    this.say('disconnect');
  }
  say(event: string, ...values: unknown[]): void {
    [...(this.#listeners.get(event) ?? [])].forEach((listener) => listener(...values));
  }
}

export function fakeChannel<Server extends object, Client extends object = Record<never, never>>() {
  const socket = new FakeSocket();
  return { socket, channel: new Channel<Server, Client>(() => Promise.resolve(socket)) };
}

/** Lets everything that waits for a promise go on. */
export const settled = () => new Promise((resolve) => setTimeout(resolve));
