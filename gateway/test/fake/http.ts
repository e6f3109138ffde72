// JSON in and out of the scripted sidecar.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Schemas } from '../../src/inference/contract.ts';
import { toBody } from './failure.ts';

const statuses: Partial<Record<Schemas['ErrorCode'], number>> = { QUEUE_FULL: 503, INTERNAL_ERROR: 500 };

export function sendError(response: ServerResponse, error: unknown): void {
  const body = toBody(error);
  response.writeHead(statuses[body.code] ?? 400, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

export function sendJson(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

export async function readJson(
  request: IncomingMessage,
  onBody: (text: string) => void,
): Promise<Record<string, unknown>> {
  let text = '';
  request.setEncoding('utf8');
  for await (const piece of request) text += String(piece);
  onBody(text);
  return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
}
