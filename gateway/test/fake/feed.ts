// The fake's feed: numbered events in a ring, snapshots, resuming; and what is watched, read from the tokens it generates.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Schemas } from '../../src/inference/contract.ts';
import { activationsAt } from './readings.ts';
import { tokenText } from './tokenizer.ts';

type FeedEvent = Schemas['FeedEvent'];
type Unnumbered = FeedEvent extends infer Event ? (Event extends FeedEvent ? Omit<Event, 'seq'> : never) : never;

const batchMs = 20;

export type FakeFeed = ReturnType<typeof createFakeFeed>;

export function createFakeFeed(state: () => Schemas['RuntimeState']) {
  const ring: FeedEvent[] = [];
  const listeners = new Set<ServerResponse>();
  const downloads = new Map<string, Schemas['DownloadState']>();
  let watches: Required<Schemas['MonitorWatch']>[] = [];
  let frames: Schemas['MonitorFrame'][] = [];
  let seq = 0;
  let timer: NodeJS.Timeout | undefined;

  const write = (response: ServerResponse, event: FeedEvent) => response.write(`data: ${JSON.stringify(event)}\n\n`);

  function publish(event: Unnumbered): void {
    seq += 1;
    const numbered = { ...event, seq } as FeedEvent;
    ring.push(numbered);
    if (ring.length > feed.ringSize) ring.shift();
    for (const response of listeners) write(response, numbered);
  }

  function handOver(): void {
    timer = undefined;
    const batch = frames;
    frames = [];
    if (batch.length > 0) publish({ type: 'activations', frames: batch, dropped: feed.dropped });
  }

  const feed = {
    ringSize: 1_000,
    /** What the next activations events say was lost. */
    dropped: 0,
    /** Every list of watches that was set. */
    monitorCalls: [] as Schemas['MonitorWatch'][][],
    watches: () => watches,
    listeners: () => listeners.size,
    publish,
    listen(request: IncomingMessage, response: ServerResponse): void {
      const query = new URL(request.url ?? '', 'http://fake').searchParams;
      const after = Number(query.get('after_seq') ?? -1);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      const isKnown = query.get('instance_id') === state().instance_id && after >= 0 && after <= seq;
      const reaches = isKnown && (after === seq || (ring[0] !== undefined && ring[0].seq <= after + 1));
      if (reaches) for (const event of ring) if (event.seq > after) write(response, event);
      if (!reaches) {
        const monitor = { watches };
        write(response, { type: 'snapshot', seq, state: state(), downloads: [...downloads.values()], monitor });
      }
      listeners.add(response);
      response.on('close', () => listeners.delete(response));
    },
    /** Cuts every listener's connection; what happens meanwhile is in the ring. */
    cut(): void {
      for (const response of listeners) response.destroy();
      listeners.clear();
    },
    setMonitor(body: Schemas['MonitorState']): Schemas['MonitorState'] {
      watches = body.watches.map(({ sae_id, top_k = 0, features = [] }) => ({ sae_id, top_k, features }));
      feed.monitorCalls.push(body.watches);
      return { watches };
    },
    /** A token was generated, or is one of the prompt's. */
    read(requestId: string, choice: number, tokenId: number, position: number, prompt: boolean): void {
      const piece = tokenText(tokenId);
      for (const watch of watches) {
        frames.push({ request_id: requestId, choice, prompt, ...activationsAt(watch, piece, position) });
      }
      if (frames.length > 0) timer ??= setTimeout(handOver, batchMs);
    },
    say: () => publish({ type: 'state', state: state() }),
    metrics(tokensPerSecond = 0): void {
      const { queue, memory, counters } = state();
      publish({
        type: 'metrics',
        queue: { ...queue, tokens_per_second: tokensPerSecond },
        memory,
        counters,
        cpu_percent: 12.5,
        gpu_percent: null,
        gpu_temperature_c: null,
      });
    },
    download(download: Schemas['DownloadState']): void {
      downloads.set(download.download_id, download);
      publish({ type: 'download', download });
    },
    restart(): void {
      ring.length = 0;
      seq = 0;
      watches = [];
      frames = [];
      downloads.clear();
      feed.cut();
    },
  };
  return feed;
}
