// Sidecar events → chat chunks, and chunks → the whole answer. Pure: the stream and the single answer are the same thing.
import type { DoneEvent, OutputEvent, TokenLogprob } from '../inference/contract.ts';
import type { LabelledEntry, Labeller } from '../features/service.ts';
import type { OutputParser, OutputPart } from './output.ts';

export interface ChatHead {
  id: string;
  created: number;
  model: string;
  systemFingerprint: string;
}

export interface ChatPlan extends ChatHead {
  n: number;
  newParser: () => OutputParser;
  label: Labeller;
  /** null = log-probabilities were not asked for. */
  topLogprobs: number | null;
  steering: string;
}

export interface ToolCallDelta {
  index: number;
  id?: string;
  type?: 'function';
  function: { name?: string; arguments: string };
}

interface ChatDelta {
  role?: 'assistant';
  content?: string;
  reasoning_content?: string;
  tool_calls?: ToolCallDelta[];
}

interface ChatLogprob {
  token: string;
  logprob: number;
  bytes: number[];
  top_logprobs: { token: string; logprob: number; bytes: number[] }[];
}

interface ChatLogprobs {
  content: ChatLogprob[];
  refusal: null;
}

export type FinishReason = 'stop' | 'length' | 'tool_calls';

export interface ChunkChoice {
  index: number;
  delta: ChatDelta;
  logprobs: ChatLogprobs | null;
  finish_reason: FinishReason | null;
  millm?: { activations: LabelledEntry[] };
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
  millm: { steering: string; steered_positions: number };
}

export interface ChatChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  system_fingerprint: string;
  choices: ChunkChoice[];
  usage?: Usage | null;
}

/** The last chunk has no choices and carries the usage. */
export async function* chatChunks(plan: ChatPlan, events: AsyncIterable<OutputEvent>): AsyncGenerator<ChatChunk> {
  const choices = Array.from({ length: plan.n }, (_, index) => chatChoice(plan, index));
  for (let index = 0; index < plan.n; index += 1) {
    yield chunk(plan, [{ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }]);
  }
  for await (const event of events) {
    if (event.type === 'done') {
      const reasoning = choices.reduce((sum, choice) => sum + choice.reasoningTokens(), 0);
      yield { ...chunk(plan, []), usage: usageOf(event, plan.steering, reasoning) };
    } else if (event.type === 'prompt') {
      const activations = plan.label(event.activations);
      if (activations.length > 0) {
        yield chunk(plan, [{ index: 0, delta: {}, logprobs: null, finish_reason: null, millm: { activations } }]);
      }
    } else {
      for (const choice of choices[event.index]?.push(event) ?? []) yield chunk(plan, [choice]);
    }
  }
}

function chatChoice(plan: ChatPlan, index: number) {
  const parser = plan.newParser();
  let heldLogprobs: TokenLogprob[] = [];
  let hasCalls = false;
  let reasoningTokens = 0;

  function choice(parts: OutputPart[], event: { activations: Parameters<Labeller>[0][number][] }): ChunkChoice | null {
    const delta = toDelta(parts);
    hasCalls ||= delta.tool_calls !== undefined;
    const activations = plan.label(event.activations);
    const isContent = delta.content !== undefined;
    if (parts.length > 0 && !isContent) heldLogprobs = [];
    const logprobs = isContent ? takeLogprobs() : null;
    if (parts.length === 0 && activations.length === 0) return null;
    return { index, delta, logprobs, finish_reason: null, ...(activations.length > 0 && { millm: { activations } }) };
  }

  function takeLogprobs(): ChatLogprobs | null {
    if (plan.topLogprobs === null || heldLogprobs.length === 0) return null;
    const content = heldLogprobs.map((entry) => toLogprob(entry, plan.topLogprobs ?? 0));
    heldLogprobs = [];
    return { content, refusal: null };
  }

  return {
    reasoningTokens: () => reasoningTokens,
    *push(event: Extract<OutputEvent, { type: 'delta' | 'finish' }>): Generator<ChunkChoice> {
      heldLogprobs.push(...event.logprobs.filter((entry) => !entry.special));
      const parts = parser.push(event.text);
      if (parts.some((part) => part.kind === 'reasoning')) reasoningTokens += event.token_ids.length;
      if (event.type === 'delta') {
        const next = choice(parts, event);
        if (next) yield next;
        return;
      }
      const rest = [...parts, ...parser.end()];
      if (rest.length > 0) {
        const next = choice(rest, { activations: [] });
        if (next) yield next;
      }
      const activations = plan.label(event.activations);
      yield {
        index,
        delta: {},
        logprobs: hasCalls ? null : takeLogprobs(),
        finish_reason: hasCalls && event.finish_reason === 'stop' ? 'tool_calls' : event.finish_reason,
        ...(activations.length > 0 && { millm: { activations } }),
      };
    },
  };
}

function toDelta(parts: readonly OutputPart[]): ChatDelta {
  const delta: ChatDelta = {};
  for (const part of parts) {
    if (part.kind === 'content') delta.content = (delta.content ?? '') + part.text;
    else if (part.kind === 'reasoning') delta.reasoning_content = (delta.reasoning_content ?? '') + part.text;
    else addCall((delta.tool_calls ??= []), part);
  }
  return delta;
}

function addCall(calls: ToolCallDelta[], part: Extract<OutputPart, { kind: 'call' | 'arguments' }>): void {
  if (part.kind === 'call') {
    calls.push({ index: part.index, id: part.id, type: 'function', function: { name: part.name, arguments: '' } });
    return;
  }
  const call = calls.find(({ index }) => index === part.index);
  if (call) call.function.arguments += part.text;
  else calls.push({ index: part.index, function: { arguments: part.text } });
}

type UsageCounts = Pick<DoneEvent, 'prompt_tokens' | 'completion_tokens' | 'cached_tokens' | 'steered_positions'>;

const lowestLogprob = -9999;
/** JSON has no infinity. */
export const finiteLogprob = (value: number | null) => Math.max(value ?? lowestLogprob, lowestLogprob);

function toLogprob({ token, logprob, bytes, top }: TokenLogprob, topLogprobs: number): ChatLogprob {
  return {
    token,
    logprob: finiteLogprob(logprob),
    bytes,
    top_logprobs: top
      .slice(0, topLogprobs)
      .map((entry) => ({ token: entry.token, logprob: finiteLogprob(entry.logprob), bytes: entry.bytes })),
  };
}

export function usageOf(done: UsageCounts, steering: string, reasoningTokens = 0): Usage {
  return {
    prompt_tokens: done.prompt_tokens,
    completion_tokens: done.completion_tokens,
    total_tokens: done.prompt_tokens + done.completion_tokens,
    prompt_tokens_details: { cached_tokens: done.cached_tokens },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
    millm: { steering, steered_positions: done.steered_positions },
  };
}

function chunk(plan: ChatHead, choices: ChunkChoice[]): ChatChunk {
  return {
    id: plan.id,
    object: 'chat.completion.chunk',
    created: plan.created,
    model: plan.model,
    system_fingerprint: plan.systemFingerprint,
    choices,
  };
}

interface ChatMessageOut {
  role: 'assistant';
  content: string | null;
  refusal: null;
  reasoning_content?: string;
  tool_calls?: { id: string; type: 'function'; function: { name: string; arguments: string } }[];
}

export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  created: number;
  model: string;
  system_fingerprint: string;
  choices: {
    index: number;
    message: ChatMessageOut;
    logprobs: ChatLogprobs | null;
    finish_reason: FinishReason | null;
    millm?: { activations: LabelledEntry[] };
  }[];
  usage: Usage | null;
}

export async function foldChat(chunks: AsyncIterable<ChatChunk>): Promise<ChatCompletion> {
  const choices = new Map<number, ReturnType<typeof emptyChoice>>();
  let head: ChatChunk | null = null;
  let usage: Usage | null = null;
  for await (const next of chunks) {
    head ??= next;
    usage = next.usage ?? usage;
    for (const part of next.choices) {
      let whole = choices.get(part.index);
      if (!whole) choices.set(part.index, (whole = emptyChoice(part.index)));
      append(whole, part);
    }
  }
  if (head === null) throw new Error('A chat answer without a single chunk.');
  const { id, created, model, system_fingerprint } = head;
  const ordered = [...choices.values()].sort((a, b) => a.index - b.index);
  return { id, object: 'chat.completion', created, model, system_fingerprint, choices: ordered, usage };
}

function emptyChoice(index: number): ChatCompletion['choices'][number] {
  return { index, message: { role: 'assistant', content: '', refusal: null }, logprobs: null, finish_reason: null };
}

function append(whole: ChatCompletion['choices'][number], part: ChunkChoice): void {
  const { message } = whole;
  const { content, reasoning_content, tool_calls } = part.delta;
  if (content !== undefined) message.content = (message.content ?? '') + content;
  if (reasoning_content !== undefined) {
    message.reasoning_content = (message.reasoning_content ?? '') + reasoning_content;
  }
  for (const call of tool_calls ?? []) appendCall((message.tool_calls ??= []), call);
  if (message.tool_calls && message.content === '') message.content = null;
  if (part.logprobs) {
    whole.logprobs ??= { content: [], refusal: null };
    whole.logprobs.content.push(...part.logprobs.content);
  }
  if (part.millm) {
    whole.millm ??= { activations: [] };
    whole.millm.activations.push(...part.millm.activations);
  }
  whole.finish_reason = part.finish_reason ?? whole.finish_reason;
}

function appendCall(calls: NonNullable<ChatMessageOut['tool_calls']>, delta: ToolCallDelta): void {
  const call = calls[delta.index];
  if (call) call.function.arguments += delta.function.arguments;
  else if (delta.id !== undefined) {
    const { name = '', arguments: text } = delta.function;
    calls[delta.index] = { id: delta.id, type: 'function', function: { name, arguments: text } };
  }
}
