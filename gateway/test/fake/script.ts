// What the fake says to a request, as the events of the contract.
import type { Schemas } from '../../src/inference/contract.ts';
import { activationsAt } from './readings.ts';
import { sampleOf } from './schema-sample.ts';
import { tokenId, tokenText } from './tokenizer.ts';

export type Scenario =
  | 'plain'
  | 'slow'
  | 'long'
  | 'error-early'
  | 'error-late'
  | 'queue-full'
  | 'out-of-memory'
  | 'overflow'
  | 'stall'
  | 'silent-prefill'
  | 'disconnect'
  | 'eof'
  | 'split-utf8'
  | 'think'
  | 'think-open'
  | 'tool'
  | 'tools'
  | 'tool-llama'
  | 'tool-mistral';

const call = (name: string, args: object) => JSON.stringify({ name, arguments: args });
const paris = { city: 'Paris' };

const sayings: Partial<Record<Scenario, string>> = {
  'split-utf8': 'Grüße 👩‍👩‍👧‍👦 日本語 café',
  think: '<think>\nThe user greets me.\n</think>\n\nHello there.',
  'think-open': 'The user greets me.\n</think>\n\nHello there.',
  tool: `<tool_call>\n${call('get_weather', paris)}\n</tool_call>`,
  tools: `Let me look.\n<tool_call>\n${call('get_weather', paris)}\n</tool_call>\n<tool_call>\n${call('get_time', paris)}\n</tool_call>`,
  'tool-llama': JSON.stringify({ name: 'get_weather', parameters: paris }),
  'tool-mistral': `[TOOL_CALLS][${call('get_weather', paris)}]`,
  long: 'word '.repeat(400).trim(),
  slow: 'word '.repeat(200).trim(),
};

export interface Script {
  accepted: Schemas['AcceptedEvent'];
  events: Schemas['GenerateEvent'][];
}

export function generateScript(
  request: Schemas['GenerateRequest'],
  scenario: Scenario,
  prompt: string,
  promptIds: number[],
  pieces: string[] | null,
): Script {
  const n = request.n ?? 1;
  const sampling = request.sampling ?? {};
  const maxTokens = sampling.max_tokens ?? 2048 - promptIds.length;
  const events: Schemas['GenerateEvent'][] = [];
  if (request.return_prompt || request.activations?.prompt) events.push(promptEvent(request, promptIds));
  const outputs = Array.from({ length: n }, (_, index) => {
    const tokens = pieces ?? split(textFor(request, scenario, prompt, index));
    return choiceEvents(request, index, tokens, maxTokens, promptIds.length);
  });
  const longest = Math.max(...outputs.map((output) => output.length));
  for (let step = 0; step < longest; step += 1) {
    for (const output of outputs) {
      const event = output[step];
      if (event) events.push(event);
    }
  }
  const completion = events.reduce((sum, event) => sum + (event.type === 'finish' ? event.completion_tokens : 0), 0);
  events.push({
    type: 'done',
    prompt_tokens: promptIds.length,
    completion_tokens: completion,
    cached_tokens: 0,
    steered_positions: request.steering?.features.length ? promptIds.length + completion : 0,
    timings: { queue_s: 0, prefill_s: 0.01, decode_s: 0.05 },
  });
  const accepted = {
    type: 'accepted' as const,
    request_id: request.request_id,
    prompt_tokens: promptIds.length,
    max_tokens: maxTokens,
    queue_position: 0,
    reasoning_open: scenario === 'think-open',
  };
  return { accepted, events };
}

function textFor(request: Schemas['GenerateRequest'], scenario: Scenario, prompt: string, index: number): string {
  if (request.grammar) return sampleOf(request.grammar);
  const saying = sayings[scenario];
  if (saying !== undefined) return saying;
  const steered = request.steering?.features.length ? ` Steered by ${request.steering.fingerprint}.` : '';
  const which = index === 0 ? '' : ` (choice ${index})`;
  return `Hello! You said ${prompt.length} characters.${steered}${which}`;
}

/** Small pieces, so that tags and JSON are split in awkward places. */
const split = (text: string) => text.match(/\s?[^\s]{1,5}|\s/gu) ?? [];

type OutputEvent = Schemas['DeltaEvent'] | Schemas['FinishEvent'];

function choiceEvents(
  request: Schemas['GenerateRequest'],
  index: number,
  pieces: string[],
  maxTokens: number,
  promptLength: number,
): OutputEvent[] {
  const { logprobs = null, stop = [] } = request.sampling ?? {};
  const events: OutputEvent[] = [];
  let text = '';
  let used = 0;
  let pending: Schemas['ActivationEntry'][] = [];
  let stopReason: string | null = null;
  for (const piece of pieces.slice(0, maxTokens)) {
    const cut = stop.map((word) => ({ word, at: (text + piece).indexOf(word) })).find(({ at }) => at >= 0);
    const shown = cut ? (text + piece).slice(text.length, Math.max(cut.at, text.length)) : piece;
    events.push({
      type: 'delta',
      index,
      text: shown,
      token_ids: [tokenId(piece)],
      logprobs: logprobs === null ? [] : [logprobOf(piece, logprobs)],
      activations: pending,
    });
    pending = readAt(request, piece, promptLength + used);
    used += 1;
    text += piece;
    if (cut) {
      stopReason = cut.word;
      break;
    }
  }
  const isWhole = stopReason !== null || used === pieces.length;
  events.push({
    type: 'finish',
    index,
    finish_reason: isWhole ? 'stop' : 'length',
    stop_reason: stopReason,
    text: '',
    token_ids: isWhole && stopReason === null ? [2] : [],
    logprobs:
      isWhole && stopReason === null && logprobs !== null ? [{ ...logprobOf('<|im_end|>', 0), special: true }] : [],
    activations: pending,
    completion_tokens: used + (isWhole && stopReason === null ? 1 : 0),
  });
  return events;
}

export function logprobOf(piece: string, count: number): Schemas['TokenLogprob'] {
  const bytes = (text: string) => [...Buffer.from(text)];
  const top = Array.from({ length: count }, (_, rank) => {
    const token = rank === 0 ? piece : `${piece}${rank}`;
    return { token_id: tokenId(token), token, bytes: bytes(token), logprob: -0.125 - rank };
  });
  return { token_id: tokenId(piece), token: piece, bytes: bytes(piece), logprob: -0.125, top, special: false };
}

const readAt = ({ activations }: Schemas['GenerateRequest'], piece: string, position: number) =>
  activations ? [activationsAt(activations, piece, position)] : [];

function promptEvent(request: Schemas['GenerateRequest'], ids: number[]): Schemas['PromptEvent'] {
  const texts = ids.map(tokenText);
  const wanted = request.prompt_logprobs ?? null;
  return {
    type: 'prompt',
    text: texts.join(''),
    tokens: texts.map((text, position) => ({
      ...logprobOf(text, wanted ?? 0),
      ...(position === 0 && { logprob: null, top: [] }),
    })),
    activations: request.activations?.prompt ? texts.flatMap((text, position) => readAt(request, text, position)) : [],
  };
}
