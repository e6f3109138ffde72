// Writes a script as Server-Sent Events, the way the scenario wants it.
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Schemas } from '../../src/inference/contract.ts';
import type { Scenario, Script } from './script.ts';

const afterTokens = 3;
const lateError: Schemas['ErrorEvent'] = {
  type: 'error',
  error: { code: 'INTERNAL_ERROR', message: 'The engine failed while generating.', param: null, details: {} },
};

/** True when the stream ended as planned, false when the client left. */
export async function writeStream(
  response: ServerResponse,
  script: Script,
  scenario: Scenario,
  onEvent: (event: Schemas['GenerateEvent']) => void = () => undefined,
): Promise<boolean> {
  let isGone = false;
  const gone = new AbortController();
  response.on('close', () => {
    isGone = !response.writableEnded;
    if (isGone) gone.abort();
  });
  const wait = (ms: number) => sleep(ms, undefined, { signal: gone.signal }).catch(() => undefined);
  const send = (event: Schemas['GenerateEvent']) => write(response, `data: ${JSON.stringify(event)}\n\n`, scenario);

  response.writeHead(200, { 'content-type': 'text/event-stream' });
  await send(script.accepted);
  if (scenario === 'stall') {
    await wait(600_000);
    return false;
  }
  if (scenario === 'silent-prefill') await wait(400);
  let tokens = 0;
  for (const event of script.events) {
    if (isGone) return false;
    if (tokens === afterTokens) {
      if (scenario === 'disconnect') {
        await wait(50); // what was written has left by then
        response.destroy();
        return true;
      }
      if (scenario === 'eof' || scenario === 'error-late') {
        if (scenario === 'error-late') await send(lateError);
        response.end();
        return true;
      }
    }
    if (scenario === 'slow') await wait(30);
    if (isGone) return false;
    onEvent(event);
    await send(event);
    if (event.type === 'delta') tokens += 1;
  }
  response.end();
  return !isGone;
}

async function write(response: ServerResponse, text: string, scenario: Scenario): Promise<void> {
  if (scenario !== 'split-utf8') {
    response.write(text);
    return;
  }
  // One byte per write: characters and frames arrive in pieces.
  for (const byte of Buffer.from(text)) {
    response.write(Buffer.of(byte));
    if (byte > 127) await sleep(0);
  }
}
