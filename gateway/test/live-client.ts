// A Socket.IO client that keeps what it hears, and waits for what it has not heard yet.
import { io } from 'socket.io-client';
import type { ManagerOptions, Socket, SocketOptions } from 'socket.io-client';
import type { Answer, LiveFrame, MonitorAsk, MonitorMessage, MonitorSnapshot } from '@millm/proto/live';
import { expect, onTestFinished } from 'vitest';
import { until } from './build-test-app.ts';

export interface Heard {
  name: string;
  data: never;
  at: number;
}

export interface LiveClient {
  socket: Socket;
  heard: Heard[];
  of: <T>(name: string) => T[];
  wait: <T>(name: string, count?: number) => Promise<T[]>;
  ask: <T>(event: string, ...args: unknown[]) => Promise<Answer<T>>;
  /** Every token since the snapshot. */
  frames: () => LiveFrame[];
  messages: () => MonitorMessage[];
  snapshots: () => MonitorSnapshot[];
}

export async function connectLive(
  url: string,
  namespace: '/monitor' | '/system' | '/progress',
  options: Partial<ManagerOptions & SocketOptions> = {},
): Promise<LiveClient> {
  const socket = io(url + namespace, { forceNew: true, transports: ['websocket'], ...options });
  onTestFinished(() => void socket.disconnect());
  const heard: Heard[] = [];
  socket.onAny((name: string, data: unknown) => {
    heard.push({ name, data: data as never, at: performance.now() });
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve());
    socket.once('connect_error', reject);
  });
  const of = <T>(name: string) => heard.filter((event) => event.name === name).map((event) => event.data as T);
  return {
    socket,
    heard,
    of,
    async wait(name, count = 1) {
      await until(() => of(name).length >= count);
      return of(name);
    },
    ask: (event, ...args) => socket.timeout(60_000).emitWithAck(event, ...args),
    messages: () => of<MonitorMessage>('monitor:activations'),
    snapshots: () => of<MonitorSnapshot>('monitor:snapshot'),
    frames: () => of<MonitorMessage>('monitor:activations').flatMap(({ frames }) => frames),
  };
}

export async function subscribe(client: LiveClient, ask: MonitorAsk): Promise<string> {
  const answer = await client.ask<{ subscription_id: string }>('monitor:subscribe', ask);
  if (!answer.success) throw new Error(`${answer.error.code}: ${answer.error.message}`);
  return answer.data.subscription_id;
}

export interface InlineEntry {
  position: number;
  token_id: number;
  token: string;
  sae_id: string;
  features: { index: number; value: number; label: string | null }[];
}

/** Sends a chat request and answers what it says inline, per choice. */
export async function chatInline(url: string, body: object, requestId: string): Promise<InlineEntry[][]> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-request-id': requestId },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as {
    error?: { message: string };
    choices: { millm?: { activations: InlineEntry[] } }[];
  };
  if (!response.ok) throw new Error(answer.error?.message);
  return answer.choices.map((choice) => choice.millm?.activations ?? []);
}

/** The frames of one choice as a request would have answered them. */
export const asInline = (frames: readonly LiveFrame[], requestId: string, choice: number): InlineEntry[] =>
  frames
    .filter((frame) => frame.request_id === requestId && frame.choice === choice && !frame.prompt)
    .map(({ position, token_id, token, sae_id, features }) => ({ position, token_id, token, sae_id, features }));

/**
 * The law of live monitoring, on whatever stack answers at `url`: what is watched equals what is answered inline. `decimals`:
 * where a request and the watchers read different sets of features, the same sum is added up in another order.
 */
export async function expectSameAsInline(
  url: string,
  client: LiveClient,
  ask: { sae_id: string; top_k: number; features: number[] },
  body: { model: string; n?: number; [field: string]: unknown },
  requestId: string,
  decimals: number | null = null,
): Promise<InlineEntry[][]> {
  const inline = await chatInline(url, { ...body, activations: ask }, requestId);
  const seen = () => inline.map((_, choice) => asInline(client.frames(), requestId, choice));
  const count = (entries: InlineEntry[][]) => entries.reduce((sum, choice) => sum + choice.length, 0);
  await until(() => count(seen()) >= count(inline), 60_000);
  expect(count(inline)).toBeGreaterThan(3);
  const close = ({ value, ...feature }: InlineEntry['features'][number]) => ({
    ...feature,
    value: decimals === null ? value : (expect.closeTo(value, decimals) as number),
  });
  const expected = inline.map((entries) => entries.map((entry) => ({ ...entry, features: entry.features.map(close) })));
  expect(seen()).toEqual(expected);
  return inline;
}
