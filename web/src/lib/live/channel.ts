/**
 * One namespace of the gateway's live views: connected while anybody listens, once however many do. Reconnecting is the
 * socket's own; a listener hears `up` at every connection, and at once when the connection stands already. Knows neither
 * events nor the library.
 */

/** What a channel needs of a Socket.IO client. */
export interface LiveSocket {
  readonly connected: boolean;
  on(event: string, listener: (...values: never[]) => void): unknown;
  off(event: string, listener: (...values: never[]) => void): unknown;
  emit(event: string, ...values: unknown[]): unknown;
  connect(): unknown;
  disconnect(): unknown;
}

export type Handlers<Events> = { [Name in keyof Events]?: Events[Name] } & {
  /** Connected, or connected again. */
  up?: () => void;
  down?: () => void;
};

type Listener = (...values: never[]) => void;

export class Channel<ServerEvents extends object, ClientEvents extends object = Record<never, never>> {
  #socket: LiveSocket | null = null;
  #opening: Promise<LiveSocket> | null = null;
  #members = new Set<Handlers<ServerEvents>>();
  readonly #open: () => Promise<LiveSocket>;

  /** `open` makes the socket, unconnected; it is called when somebody first listens. */
  constructor(open: () => Promise<LiveSocket>) {
    this.#open = open;
  }

  get isUp(): boolean {
    return this.#socket?.connected ?? false;
  }

  /** Listen; the function returned stops it. With the last listener the connection goes. */
  join(handlers: Handlers<ServerEvents>): () => void {
    this.#members.add(handlers);
    const pairs = pairsOf(handlers);
    this.#ensure().then(
      (socket) => {
        if (!this.#members.has(handlers)) return;
        pairs.forEach(([event, listener]) => socket.on(event, listener));
        if (socket.connected) handlers.up?.();
        else socket.connect();
      },
      // Without live views the page still asks now and then; who joins next tries again.
      () => (this.#opening = null),
    );
    return () => {
      if (!this.#members.delete(handlers)) return;
      pairs.forEach(([event, listener]) => this.#socket?.off(event, listener));
      if (this.#members.size === 0) this.#socket?.disconnect();
    };
  }

  /** Nothing is sent while the connection is down: whoever asks does so again when it is up. */
  send<Name extends keyof ClientEvents & string>(
    event: Name,
    ...values: ClientEvents[Name] extends (...values: infer Values) => void ? Values : never
  ): boolean {
    if (!this.#socket?.connected) return false;
    this.#socket.emit(event, ...values);
    return true;
  }

  #ensure(): Promise<LiveSocket> {
    this.#opening ??= this.#open().then((socket) => (this.#socket = socket));
    return this.#opening;
  }
}

function pairsOf<Events>({ up, down, ...events }: Handlers<Events>): [string, Listener][] {
  return [
    ...(up ? [['connect', up] as [string, Listener]] : []),
    ...(down ? [['disconnect', down] as [string, Listener]] : []),
    ...Object.entries(events as Record<string, Listener>),
  ];
}
