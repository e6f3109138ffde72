// Sidecar events of one prompt → text completion chunks, and chunks → the whole answer. Pure.
import type { LabelledEntry, Labeller } from '../features/service.ts';
import type { OutputEvent, TokenLogprob } from '../inference/contract.ts';
import { finiteLogprob, usageOf } from './chunks.ts';
import type { Usage } from './chunks.ts';

export interface CompletionHead {
  id: string;
  created: number;
  model: string;
  systemFingerprint: string;
}

export interface CompletionPlan extends CompletionHead {
  n: number;
  echo: boolean;
  /** null = not asked for. */
  logprobs: number | null;
  label: Labeller;
  steering: string;
}

export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  text_offset: number[];
}

export interface CompletionChoice {
  index: number;
  text: string;
  logprobs: CompletionLogprobs | null;
  finish_reason: 'stop' | 'length' | null;
  millm?: { activations: LabelledEntry[] };
}

export interface CompletionChunk {
  id: string;
  object: 'text_completion';
  created: number;
  model: string;
  system_fingerprint: string;
  choices: CompletionChoice[];
  usage?: Usage | null;
}

/** Chunks of one prompt; its choices are numbered from `firstIndex`. The last chunk has no choices, only usage. */
export async function* completionChunks(
  plan: CompletionPlan,
  firstIndex: number,
  events: AsyncIterable<OutputEvent>,
): AsyncGenerator<CompletionChunk> {
  const choices = Array.from({ length: plan.n }, (_, j) => completionChoice(plan, firstIndex + j));
  for await (const event of events) {
    if (event.type === 'done') {
      yield { ...completionChunk(plan, []), usage: usageOf(event, plan.steering) };
    } else if (event.type === 'prompt') {
      for (const choice of choices) {
        const parts = choice.prompt(plan.echo ? event.text : '', plan.echo ? event.tokens : [], event.activations);
        if (parts) yield completionChunk(plan, [parts]);
      }
    } else {
      const choice = choices[event.index]?.push(event);
      if (choice) yield completionChunk(plan, [choice]);
    }
  }
}

function completionChoice(plan: CompletionPlan, index: number) {
  let offset = 0;
  let held: TokenLogprob[] = [];

  function layout(entries: readonly TokenLogprob[]): CompletionLogprobs | null {
    if (plan.logprobs === null || entries.length === 0) return null;
    const out: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
    for (const entry of entries) {
      out.tokens.push(entry.token);
      out.token_logprobs.push(entry.logprob === null ? null : finiteLogprob(entry.logprob));
      out.top_logprobs.push(entry.logprob === null ? null : topOf(entry, plan.logprobs));
      out.text_offset.push(offset);
      if (!entry.special) offset += [...entry.token].length;
    }
    return out;
  }

  function choice(
    text: string,
    entries: TokenLogprob[],
    activations: Parameters<Labeller>[0],
  ): CompletionChoice | null {
    const labelled = plan.label(activations);
    if (text === '' && entries.length === 0 && labelled.length === 0) return null;
    return {
      index,
      text,
      logprobs: layout(entries),
      finish_reason: null,
      ...(labelled.length > 0 && { millm: { activations: labelled } }),
    };
  }

  return {
    prompt: choice,
    push(event: Extract<OutputEvent, { type: 'delta' | 'finish' }>): CompletionChoice | null {
      held.push(...event.logprobs);
      if (event.type === 'delta' && event.text === '') return choice('', [], event.activations);
      const entries = held;
      held = [];
      const next = choice(event.text, entries, event.activations);
      if (event.type === 'delta') return next;
      const last = next ?? { index, text: '', logprobs: null, finish_reason: null };
      return { ...last, finish_reason: event.finish_reason };
    },
  };
}

/** The likeliest tokens and the sampled one; of two tokens with the same text the likelier stays. */
function topOf(entry: TokenLogprob, count: number): Record<string, number> {
  const out: Record<string, number> = {};
  const sampled = { token: entry.token, logprob: entry.logprob ?? 0 };
  for (const { token, logprob } of [...entry.top.slice(0, count), sampled]) {
    const value = finiteLogprob(logprob);
    const known = Object.hasOwn(out, token) ? out[token] : undefined;
    if (known === undefined || value > known) out[token] = value;
  }
  return out;
}

export function completionChunk(head: CompletionHead, choices: CompletionChoice[]): CompletionChunk {
  return {
    id: head.id,
    object: 'text_completion',
    created: head.created,
    model: head.model,
    system_fingerprint: head.systemFingerprint,
    choices,
  };
}

export interface Completion extends CompletionChunk {
  usage: Usage | null;
}

export async function foldCompletion(chunks: AsyncIterable<CompletionChunk>): Promise<Completion> {
  const choices = new Map<number, CompletionChoice>();
  let head: CompletionChunk | null = null;
  let usage: Usage | null = null;
  for await (const next of chunks) {
    head ??= next;
    usage = next.usage ?? usage;
    for (const part of next.choices) {
      const whole = choices.get(part.index);
      if (whole) append(whole, part);
      else choices.set(part.index, structuredClone(part));
    }
  }
  if (head === null) throw new Error('A completion without a single chunk.');
  return { ...head, choices: [...choices.values()].sort((a, b) => a.index - b.index), usage };
}

function append(whole: CompletionChoice, part: CompletionChoice): void {
  whole.text += part.text;
  whole.finish_reason = part.finish_reason ?? whole.finish_reason;
  if (part.logprobs && whole.logprobs) {
    whole.logprobs.tokens.push(...part.logprobs.tokens);
    whole.logprobs.token_logprobs.push(...part.logprobs.token_logprobs);
    whole.logprobs.top_logprobs.push(...part.logprobs.top_logprobs);
    whole.logprobs.text_offset.push(...part.logprobs.text_offset);
  } else if (part.logprobs) whole.logprobs = structuredClone(part.logprobs);
  if (part.millm) {
    whole.millm ??= { activations: [] };
    whole.millm.activations.push(...part.millm.activations);
  }
}
