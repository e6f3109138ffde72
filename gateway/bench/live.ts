// What watching costs: throughput of a running stack with nobody watching, with 50 clients watching, and with 50 of which one
// never reads. A round lies between two measures of nobody watching, and is compared with their mean: what else the machine does
// falls on all of them. The one that never reads starts again at the round's end, to say what was dropped for it.
//
// `--pid`, `--sidecar-pid` (Linux): the processes, whose CPU time is printed too: the gateway's per second, the sidecar's per
// token. On a machine that does other things, they say more than a ratio of speeds.
//
//   node bench/live.ts [http://127.0.0.1:8000] [--clients 50] [--requests 4] [--tokens 64] [--rounds 3] [--top-k 8]
import { readFileSync } from 'node:fs';
import type { Socket as TcpSocket } from 'node:net';
import { parseArgs } from 'node:util';
import { io } from 'socket.io-client';
import type { Socket } from 'socket.io-client';
import type { MonitorMessage } from '@millm/proto/live';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    clients: { type: 'string', default: '50' },
    requests: { type: 'string', default: '4' },
    tokens: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    'top-k': { type: 'string', default: '8' },
    features: { type: 'string', default: '' },
    prompt: { type: 'string', default: 'Write a story about the sea.' },
    pid: { type: 'string', default: '' },
    'sidecar-pid': { type: 'string', default: '' },
  },
});
const url = positionals[0] ?? 'http://127.0.0.1:8000';
const [clients, requests, tokens, rounds] = [values.clients, values.requests, values.tokens, values.rounds].map(Number);
const features = values.features === '' ? [] : values.features.split(',').map(Number);
const ask = { top_k: Number(values['top-k']), features };

interface Watcher {
  socket: Socket;
  frames: number;
  dropped: number;
}
interface Measure {
  tokensPerSecond: number;
  gatewayMiB: number;
  /** Milliseconds of CPU time per second. */
  cpu: number;
  /** The same of the sidecar, per token. */
  sidecar: number;
}

const model = await firstModel();
console.log(
  `${url}, ${model}: ${requests} requests at once of ${tokens} tokens, ${clients} clients asking ${JSON.stringify(ask)}`,
);
await throughput(); // warm
const results = new Map<string, Measure[]>();
const shares = new Map<string, number[]>();
let alone = keep('nobody watches', await throughput());
for (let round = 0; round < (rounds ?? 1); round += 1) {
  const watchers = await watch(clients ?? 50);
  const watched = keep('watched', await throughput());
  await settle(watchers);
  const [first, ...readers] = watchers as [Watcher, ...Watcher[]];
  connection(first).pause();
  const unread = keep('watched, one never reads', await throughput());
  connection(first).resume();
  await settle(watchers);
  for (const { socket } of watchers) socket.disconnect();
  const before = alone;
  alone = keep('nobody watches', await throughput());
  const base = (before.tokensPerSecond + alone.tokensPerSecond) / 2;
  keepShare('watched', watched.tokensPerSecond / base);
  keepShare('watched, one never reads', unread.tokensPerSecond / base);
  console.log(
    `  frames per reader ${readers[0]?.frames ?? 0}, dropped for readers ${sum(readers.map((w) => w.dropped))}, for the one that did not read ${first.dropped} (it got ${first.frames})`,
  );
}
report();

function keepShare(name: string, share: number): void {
  shares.set(name, [...(shares.get(name) ?? []), share]);
}

function keep(name: string, measure: Measure): Measure {
  results.set(name, [...(results.get(name) ?? []), measure]);
  console.log(
    `  ${name.padEnd(26)} ${measure.tokensPerSecond.toFixed(1)} tok/s, gateway ${measure.gatewayMiB.toFixed(0)} MiB, CPU ${measure.cpu.toFixed(0)} ms/s, sidecar ${measure.sidecar.toFixed(2)} ms/token`,
  );
  return measure;
}

function report(): void {
  console.log('median over rounds; the share, of the unwatched throughput around it');
  for (const [name, measures] of results) {
    const speed = median(measures.map((m) => m.tokensPerSecond));
    const memory = Math.max(...measures.map((m) => m.gatewayMiB));
    const rates = shares.get(name)?.map((share) => 100 * share);
    const share = rates ? `${median(rates).toFixed(1)} % (${rates.map((rate) => rate.toFixed(1)).join(', ')})` : '';
    console.log(
      `${name.padEnd(28)} ${speed.toFixed(1)} tok/s  ${share}  gateway at most ${memory.toFixed(0)} MiB, CPU ${median(measures.map((m) => m.cpu)).toFixed(0)} ms/s, sidecar ${median(measures.map((m) => m.sidecar)).toFixed(2)} ms/token`,
    );
  }
}

async function throughput(): Promise<Measure> {
  const [startedAt, cpuBefore, sidecarBefore] = [performance.now(), cpuMs(values.pid), cpuMs(values['sidecar-pid'])];
  const counts = await Promise.all(Array.from({ length: requests ?? 1 }, (_, n) => complete(n)));
  const seconds = (performance.now() - startedAt) / 1000;
  const { data } = (await (await fetch(`${url}/api/system`)).json()) as { data: { gateway_memory_bytes: number } };
  return {
    tokensPerSecond: sum(counts) / seconds,
    gatewayMiB: data.gateway_memory_bytes / 1_048_576,
    cpu: (cpuMs(values.pid) - cpuBefore) / seconds,
    sidecar: (cpuMs(values['sidecar-pid']) - sidecarBefore) / sum(counts),
  };
}

async function complete(n: number): Promise<number> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      messages: [{ role: 'user', content: `${n}. ${values.prompt}` }],
      max_tokens: tokens,
      ignore_eos: true,
      temperature: 0,
    }),
  });
  const { usage } = (await response.json()) as { usage: { completion_tokens: number } };
  return usage.completion_tokens;
}

function watch(count: number): Promise<Watcher[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const socket = io(`${url}/monitor`, { transports: ['websocket'], forceNew: true });
      const watcher = { socket, frames: 0, dropped: 0 };
      socket.on('monitor:activations', (message: MonitorMessage) => {
        watcher.frames += message.frames.length;
        watcher.dropped = message.dropped;
      });
      await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
      await socket.emitWithAck('monitor:subscribe', ask);
      return watcher;
    }),
  );
}

/** Below the client, the connection itself: pausing it is to read nothing. */
function connection({ socket }: Watcher): TcpSocket {
  return (socket.io.engine.transport as unknown as { ws: { _socket: TcpSocket } }).ws._socket;
}

async function settle(watchers: Watcher[]): Promise<void> {
  let before = -1;
  while (before !== (before = sum(watchers.map(({ frames }) => frames))))
    await new Promise((resolve) => setTimeout(resolve, 300));
}

async function firstModel(): Promise<string> {
  const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
  if (!data[0]) throw new Error('The stack has no model.');
  return data[0].id;
}

/** User and system time of a process, in ticks of 10 ms; 0 when no process was named. */
function cpuMs(pid: string): number {
  if (pid === '') return 0;
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, value) => total + value, 0);
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
