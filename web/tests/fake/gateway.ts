/** A gateway with nothing behind it: a real HTTP server that serves the built page and plays named scenarios. */
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server } from 'socket.io';
import { features, model, sae } from './catalogue.ts';
import { streamAnswer, type FakeChatRequest } from './chat.ts';
import type { Scenario } from './scenarios.ts';

const BUILD = fileURLToPath(new URL('../../build/', import.meta.url));
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
};

export interface FakeGateway {
  url: string;
  /** Every chat request received, newest last. */
  chats: FakeChatRequest[];
  /** Chat streams whose client left before the end. */
  aborted: () => number;
  play: (scenario: Scenario) => void;
  close: () => Promise<void>;
}

export async function startFakeGateway(first: Scenario = 'ready', port = 0): Promise<FakeGateway> {
  let scenario = first;
  const chats: FakeChatRequest[] = [];
  let aborted = 0;

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://fake');
    if (url.pathname.startsWith('/socket.io/')) return; // the live views' own
    const isCall = url.pathname.startsWith('/api/') || url.pathname.startsWith('/v1/');
    if (!isCall) return sendFile(url.pathname, response);
    if (scenario === 'down') return void request.socket.destroy();
    if (scenario === 'silent') return;
    if (url.pathname === '/v1/chat/completions') {
      void readBody<FakeChatRequest>(request).then((body) => {
        chats.push(body);
        response.on('close', () => {
          if (!response.writableFinished && scenario !== 'cut') aborted += 1;
        });
        return streamAnswer(body, response, () => scenario);
      });
      return;
    }
    sendApi(url, response, scenario);
  });
  // The live views: there, and silent. A test says what it needs through `live`.
  const live = new Server(server, { path: '/socket.io', serveClient: false });
  for (const namespace of ['/monitor', '/system', '/progress']) live.of(namespace);
  await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    chats,
    aborted: () => aborted,
    play: (next) => {
      scenario = next;
      if (next === 'down') {
        live.disconnectSockets(true);
        server.closeIdleConnections();
      }
    },
    close: () => {
      void live.close();
      server.closeAllConnections();
      return new Promise((closed) => server.close(() => closed()));
    },
  };
}

function sendApi(url: URL, response: ServerResponse, scenario: Scenario): void {
  const isDegraded = scenario === 'degraded';
  const hasModel = scenario !== 'no-model';
  const hasSae = hasModel && scenario !== 'no-sae' && scenario !== 'loading-model';
  switch (url.pathname) {
    case '/api/health':
      return sendJson(response, 200, {
        status: isDegraded ? 'degraded' : 'healthy',
        version: '0.1.0',
        uptime_seconds: 5460,
      });
    case '/api/models':
      if (scenario === 'loading-model') return sendData(response, [{ ...model, status: 'loading', progress: 0.42 }]);
      return sendData(response, hasModel ? [model] : []);
    case '/api/saes':
      return sendData(response, hasSae ? [sae] : scenario === 'no-sae' ? [{ ...sae, attached: false }] : []);
    case '/api/downloads':
    case '/api/profiles':
      return sendData(response, []);
    case '/api/requests':
      return sendData(response, { items: [], total: 0, skip: 0, limit: 6 });
    case '/api/config':
      return sendData(response, { settings: { request_log_enabled: true } });
    case '/api/steering':
      return sendData(response, { enabled: true, intensity: 1, sae_id: null, features: [] });
    case '/api/system':
      if (!hasModel || isDegraded) return sendError(response, 503, 'SIDECAR_UNAVAILABLE', 'The sidecar is away.');
      return sendData(response, {
        queue: {
          running: 0,
          waiting: 0,
          slots_total: 8,
          slots_free: 8,
          max_waiting: 64,
          tokens_per_second: 0,
        },
        memory: {
          device: 'cpu',
          used_bytes: 1_240_000_000,
          total_bytes: 16_700_000_000,
          model_bytes: 538_060_032,
          sae_bytes: 18_900_000,
          kv_bytes: 377_000_000,
        },
      });
    default:
      return sendFeatures(url, response, scenario);
  }
}

function sendFeatures(url: URL, response: ServerResponse, scenario: Scenario): void {
  const [, index] = /^\/api\/saes\/demo\/features(?:\/(\d+))?$/.exec(url.pathname) ?? [];
  if (!url.pathname.startsWith('/api/saes/demo/features')) {
    return sendError(response, 404, 'NOT_FOUND', 'There is no such route.');
  }
  if (scenario === 'no-features') return sendError(response, 500, 'INTERNAL_ERROR', 'Something broke.');
  if (index) {
    const feature = features.find((item) => item.index === Number(index));
    const unknown = { index: Number(index), label: null, density: 0.001, max_activation: 20 };
    return sendData(response, {
      ...(feature ?? unknown),
      contexts: [],
      promoted: [],
      suppressed: [],
      nearest: [],
    });
  }
  const search = (url.searchParams.get('search') ?? '').toLowerCase();
  const skip = Number(url.searchParams.get('skip') ?? 0);
  const limit = Number(url.searchParams.get('limit') ?? 50);
  const found = features.filter((item) => item.label.toLowerCase().includes(search));
  sendData(response, { items: found.slice(skip, skip + limit), total: found.length, skip, limit });
}

function sendFile(path: string, response: ServerResponse): void {
  const asked = join(BUILD, normalize(path));
  const file = existsSync(asked) && statSync(asked).isFile() ? asked : join(BUILD, 'index.html');
  response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
  createReadStream(file).pipe(response);
}

function sendData(response: ServerResponse, data: unknown): void {
  sendJson(response, 200, { success: true, data, error: null });
}

function sendError(response: ServerResponse, status: number, code: string, message: string): void {
  sendJson(response, status, { success: false, data: null, error: { code, message, details: {} } });
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

async function readBody<T>(request: IncomingMessage): Promise<T> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return JSON.parse(Buffer.concat(pieces).toString('utf8')) as T;
}
