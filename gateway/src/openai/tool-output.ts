// Tool calls in the text a model writes, whichever template family it was trained on:
//   <tool_call>{json}</tool_call>    Hermes, Qwen, SmolLM            [TOOL_CALLS][{json}]   Mistral
//   <|python_tag|>{json}             Llama 3                         {json} or [{json}]     Llama 3, generic
// A call is given out when it is complete; text that only looked like one is released as content.
import { randomBytes } from 'node:crypto';
import type { OutputParser, OutputPart } from './output.ts';

const callId = () => `call_${randomBytes(12).toString('hex')}`;

const open = '<tool_call>';
const close = '</tool_call>';
/** After these, everything to the end is calls. */
const tailMarkers = ['[TOOL_CALLS]', '<|python_tag|>'];
const markers = [open, ...tailMarkers];

export interface ToolOutputOptions {
  /** Names that a bare JSON object must have to count as a call. */
  names: readonly string[];
  onlyOne: boolean;
}

type State = 'start' | 'content' | 'block' | 'tail' | 'json';

export function toolCallOutput({ names, onlyOne }: ToolOutputOptions): OutputParser {
  let state: State = 'start';
  let held = '';
  let marker = '';
  let calls = 0;

  function give(parsed: readonly ParsedCall[]): OutputPart[] {
    return parsed.flatMap(({ name, args }) => {
      if (onlyOne && calls > 0) return [];
      const index = calls;
      calls += 1;
      return [
        { kind: 'call', index, id: callId(), name },
        { kind: 'arguments', index, text: args },
      ] satisfies OutputPart[];
    });
  }

  /** White space around calls belongs to their syntax. */
  function content(text: string): OutputPart[] {
    const shown = calls > 0 ? text.trimStart() : text;
    return shown === '' ? [] : [{ kind: 'content', text: shown }];
  }

  function step(): OutputPart[] | null {
    if (state === 'start') {
      const first = held.trimStart()[0];
      if (first === undefined) return null;
      const looksLikeMarker = tailMarkers.some((word) => startsAlike(held.trimStart(), word));
      if (first === '[' && looksLikeMarker && held.trimStart().length < '[TOOL_CALLS]'.length) return null;
      state = first === '{' || (first === '[' && !looksLikeMarker) ? 'json' : 'content';
      return [];
    }
    if (state === 'content') {
      const found = firstOf(held, markers);
      if (found) {
        const before = held.slice(0, found.at);
        held = held.slice(found.at + found.word.length);
        marker = found.word;
        state = found.word === open ? 'block' : 'tail';
        return content(before.trimEnd());
      }
      const keep = heldBack(held);
      const text = held.slice(0, held.length - keep);
      if (text === '') return null;
      held = held.slice(held.length - keep);
      return content(text);
    }
    if (state === 'block') {
      const end = held.indexOf(close);
      if (end < 0) return null;
      const inner = held.slice(0, end);
      held = held.slice(end + close.length);
      state = 'content';
      const parsed = parseCalls(inner);
      return parsed.length > 0 ? give(parsed) : content(open + inner + close);
    }
    return null;
  }

  function drain(): OutputPart[] {
    const out: OutputPart[] = [];
    for (let parts = step(); parts !== null; parts = step()) out.push(...parts);
    return out;
  }

  return {
    push(text) {
      held += text;
      return drain();
    },
    end() {
      const rest = held;
      held = '';
      if (state === 'block' || state === 'tail') {
        const parsed = parseCalls(rest);
        return parsed.length > 0 ? give(parsed) : content(marker + rest);
      }
      if (state === 'json') {
        const parsed = parseCalls(rest);
        const isCall = parsed.length > 0 && parsed.every(({ name }) => names.includes(name));
        return isCall ? give(parsed) : content(rest);
      }
      return content(rest);
    },
  };
}

/** `tool_choice` names the function: the whole text is its arguments, given out as it comes. */
export function namedCallOutput(name: string): OutputParser {
  let isAnnounced = false;
  return {
    push(text) {
      if (text === '') return [];
      const parts: OutputPart[] = isAnnounced ? [] : [{ kind: 'call', index: 0, id: callId(), name }];
      isAnnounced = true;
      return [...parts, { kind: 'arguments', index: 0, text }];
    },
    end: () => [],
  };
}

interface ParsedCall {
  name: string;
  args: string;
}

function parseCalls(text: string): ParsedCall[] {
  const trimmed = text.trim().replace(/^```(?:json)?\s*|\s*```$/g, '');
  const value = parseJson(trimmed) ?? parseSeparated(trimmed) ?? parseMistral(trimmed);
  const items: unknown[] = Array.isArray(value) ? value : [value];
  const calls = items.map(toCall);
  return calls.every((call) => call !== null) ? calls : [];
}

function toCall(value: unknown): ParsedCall | null {
  if (value === null || typeof value !== 'object') return null;
  const { name, arguments: args, parameters } = value as Record<string, unknown>;
  if (typeof name !== 'string') return null;
  const given = args ?? parameters ?? {};
  return { name, args: typeof given === 'string' ? given : JSON.stringify(given) };
}

/** Llama separates several calls with semicolons. */
function parseSeparated(text: string): unknown[] | undefined {
  const parts = text.split(/;\s*(?=\{)/).map(parseJson);
  return parts.length > 1 && parts.every((part) => part !== undefined) ? parts : undefined;
}

/** Newer Mistral models write `name[ARGS]{json}`. */
function parseMistral(text: string): unknown {
  const match = /^([\w.-]+)(?:\[ARGS\])?\s*(\{.*\})$/s.exec(text);
  const args = match?.[2] === undefined ? undefined : parseJson(match[2]);
  return args === undefined ? undefined : { name: match?.[1], arguments: args };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function firstOf(text: string, words: readonly string[]): { word: string; at: number } | null {
  const found = words.map((word) => ({ word, at: text.indexOf(word) })).filter(({ at }) => at >= 0);
  return found.sort((a, b) => a.at - b.at)[0] ?? null;
}

const startsAlike = (text: string, word: string) => word.startsWith(text.slice(0, word.length));

/** How much of the end could become a marker, with the white space before it. */
function heldBack(text: string): number {
  const longest = Math.max(...markers.map((word) => word.length));
  for (let length = Math.min(longest - 1, text.length); length > 0; length -= 1) {
    const tail = text.slice(-length);
    if (markers.some((word) => word.startsWith(tail))) {
      const before = text.slice(0, -length);
      return length + (before.length - before.trimEnd().length);
    }
  }
  return text.length - text.trimEnd().length;
}
