/** The fake's streamed answers, with activations one step behind their text as the real engine sends them. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { answerTokens, firedAt } from './catalogue.ts';
import type { Scenario } from './scenarios.ts';

export interface FakeChatRequest {
  model: string;
  messages: { role: string; content: string }[];
  max_tokens?: number;
  temperature?: number;
  seed?: number;
  steering?: { enabled?: boolean; sae_id?: string; features?: { index: number; strength: number }[] };
  activations?: { sae_id: string; top_k: number; features?: number[] };
}

const STEP_MS: Partial<Record<Scenario, number>> = { slow: 150, cut: 20, 'error-late': 20 };

export async function streamAnswer(
  body: FakeChatRequest,
  response: ServerResponse,
  scenario: () => Scenario,
): Promise<void> {
  if (scenario() === 'queue-full') {
    response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '5' });
    response.end(
      JSON.stringify({
        error: { message: 'The queue is full.', type: 'rate_limit_error', param: null, code: 'queue_full' },
      }),
    );
    return;
  }
  const steered = body.steering?.features?.[0];
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'x-millm-steering': steered ? `f${steered.index}` : 'none',
  });
  const tokens = answerTokens(steered?.strength ?? 0, body.max_tokens ?? 120);
  const frame = (choice: object, rest: object = {}) =>
    `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', choices: [{ index: 0, ...choice }], ...rest })}\n\n`;
  const entry = (at: number) => ({
    position: 40 + at,
    token_id: 1000 + at,
    token: tokens[at] ?? '',
    sae_id: 'demo',
    features: firedAt(tokens[at] ?? '', at, body.activations?.features?.[0]),
  });
  const millm = (at: number) =>
    body.activations && scenario() !== 'no-activations' && at >= 0 ? { millm: { activations: [entry(at)] } } : {};

  await write(response, frame({ delta: { role: 'assistant', content: '' }, finish_reason: null }), scenario());
  for (const [at, token] of tokens.entries()) {
    if (response.destroyed) return; // the client left
    if (scenario() === 'cut' && at === 8) {
      response.destroy();
      return;
    }
    if (scenario() === 'error-late' && at === 8) {
      const error = {
        message: 'The engine failed.',
        type: 'server_error',
        param: null,
        code: 'engine_error',
      };
      response.end(`data: ${JSON.stringify({ error })}\n\ndata: [DONE]\n\n`);
      return;
    }
    await write(response, frame({ delta: { content: token }, finish_reason: null, ...millm(at - 1) }), scenario());
    await pause(STEP_MS[scenario()] ?? 3);
  }
  const reason = tokens.length === body.max_tokens ? 'length' : 'stop';
  await write(response, ': ping\n\n', scenario());
  await write(response, frame({ delta: {}, finish_reason: reason, ...millm(tokens.length - 1) }), scenario());
  const usage = { prompt_tokens: 40, completion_tokens: tokens.length, total_tokens: 40 + tokens.length };
  response.end(`data: ${JSON.stringify({ choices: [], usage })}\n\ndata: [DONE]\n\n`);
}

async function write(response: ServerResponse, text: string, scenario: Scenario): Promise<void> {
  const bytes = Buffer.from(text);
  const size = scenario === 'split-bytes' ? 3 : bytes.length;
  for (let at = 0; at < bytes.length; at += size) {
    if (response.destroyed) return;
    if (!response.write(bytes.subarray(at, at + size))) {
      await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
    if (scenario === 'split-bytes') await new Promise(setImmediate);
  }
}
