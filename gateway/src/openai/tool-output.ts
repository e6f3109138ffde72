// Tool calls in the text a model writes, whichever template family it was trained on:
//   <tool_call>{json}</tool_call>    Hermes, Qwen, SmolLM            [TOOL_CALLS][{json}]   Mistral
//   <|python_tag|>{json}             Llama 3                         {json} or [{json}]     Llama 3, generic
// Arguments are given out as they come, once the name is known; text that only looked like a call is released as content.
import { randomBytes } from 'node:crypto';
import { callHead, isBetweenCalls, objectScanner, parseCalls } from './call-text.ts';
import type { ParsedCall } from './call-text.ts';
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

/** `head`: before the arguments of a call; `arguments`: inside them; `rest`: what its object holds after them. */
type State = 'start' | 'content' | 'head' | 'arguments' | 'rest';

export function toolCallOutput({ names, onlyOne }: ToolOutputOptions): OutputParser {
  let state: State = 'start';
  let held = '';
  /** What calls are read from: a pair of tags, all after a marker, or the whole answer. */
  let stretch: 'block' | 'tail' | 'json' = 'json';
  let marker = '';
  let callsInStretch = 0;
  let calls = 0;
  let isWrapped = false;
  let scan = objectScanner();

  const isUnwanted = () => onlyOne && calls > 1;

  function begin(name: string): OutputPart[] {
    calls += 1;
    callsInStretch += 1;
    return isUnwanted() ? [] : [{ kind: 'call', index: calls - 1, id: callId(), name }];
  }

  const argumentText = (text: string): OutputPart[] =>
    text === '' || isUnwanted() ? [] : [{ kind: 'arguments', index: calls - 1, text }];

  const give = (parsed: readonly ParsedCall[]) =>
    parsed.flatMap(({ name, args }) => [...begin(name), ...argumentText(args)]);

  function enter(next: typeof stretch, opening: string): void {
    stretch = next;
    marker = opening;
    callsInStretch = 0;
    state = 'head';
  }

  /** White space around calls belongs to their syntax. */
  function content(text: string): OutputPart[] {
    const shown = calls > 0 ? text.trimStart() : text;
    return shown === '' ? [] : [{ kind: 'content', text: shown }];
  }

  /** Nothing more comes of this stretch: its text is calls as a whole, or none. */
  function leave(text: string, closing: string): OutputPart[] {
    if (callsInStretch > 0 && isBetweenCalls(text)) return [];
    const parsed = parseCalls(text);
    const isCall = parsed.length > 0 && (stretch !== 'json' || parsed.every(({ name }) => names.includes(name)));
    if (isCall) return give(parsed);
    return content(callsInStretch > 0 ? text : marker + text + closing);
  }

  function start(): OutputPart[] | null {
    const text = held.trimStart();
    const first = text[0];
    if (first === undefined) return null;
    const looksLikeMarker = tailMarkers.some((word) => startsAlike(text, word));
    if (first === '[' && looksLikeMarker && text.length < '[TOOL_CALLS]'.length) return null;
    if (first === '{' || (first === '[' && !looksLikeMarker)) enter('json', '');
    else state = 'content';
    return [];
  }

  function readContent(): OutputPart[] | null {
    const found = firstOf(held, markers);
    if (found) {
      const before = held.slice(0, found.at);
      held = held.slice(found.at + found.word.length);
      enter(found.word === open ? 'block' : 'tail', found.word);
      return content(before.trimEnd());
    }
    const keep = heldBack(held);
    const text = held.slice(0, held.length - keep);
    if (text === '') return null;
    held = held.slice(held.length - keep);
    return content(text);
  }

  function readHead(): OutputPart[] | null {
    const end = stretch === 'block' ? held.indexOf(close) : -1;
    const head = callHead(held, { mistral: stretch === 'tail' });
    if (head && (end < 0 || head.length <= end) && (stretch !== 'json' || names.includes(head.name))) {
      held = held.slice(head.length);
      state = 'arguments';
      isWrapped = head.isWrapped;
      scan = objectScanner();
      return begin(head.name);
    }
    if (end < 0) return null;
    const inner = held.slice(0, end);
    held = held.slice(end + close.length);
    state = 'content';
    return leave(inner, close);
  }

  function readObject(): OutputPart[] | null {
    if (held === '') return null;
    const { out, used, isDone } = scan(held);
    held = held.slice(used);
    const parts = state === 'arguments' ? argumentText(out) : [];
    if (isDone) {
      const isInside = state === 'arguments' && isWrapped;
      state = isInside ? 'rest' : 'head';
      if (isInside) scan = objectScanner(1);
    }
    return parts;
  }

  const steps: Record<State, () => OutputPart[] | null> = {
    start,
    content: readContent,
    head: readHead,
    arguments: readObject,
    rest: readObject,
  };

  return {
    push(text) {
      held += text;
      const out: OutputPart[] = [];
      for (let parts = steps[state](); parts !== null; parts = steps[state]()) out.push(...parts);
      return out;
    },
    end() {
      const rest = held;
      held = '';
      return state === 'head' ? leave(rest, '') : content(rest);
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
