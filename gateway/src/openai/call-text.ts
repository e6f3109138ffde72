// The text of tool calls: where the arguments of one begin, where they end, and what a whole stretch of text says. Pure.

export interface ParsedCall {
  name: string;
  args: string;
}

/** Every call in a finished text; empty where anything in it is none. */
export function parseCalls(text: string): ParsedCall[] {
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

/** Between calls: lists, semicolons, Mistral's marker once more. */
const between = String.raw`(?:\[TOOL_CALLS\]|[\s,;[\]])*`;
const objectHead = new RegExp(
  between + String.raw`\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)+")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)`,
  'y',
);
const mistralHead = new RegExp(between + String.raw`([\w.-]+)(?:\[ARGS\])?\s*(?=\{)`, 'y');
const onlyBetween = new RegExp(`^${between}$`);

export const isBetweenCalls = (text: string) => onlyBetween.test(text);

export interface CallHead {
  name: string;
  /** Up to the first brace of the arguments. */
  length: number;
  /** Whether the arguments are inside an object of the call, which ends after them. */
  isWrapped: boolean;
}

/** The beginning of a call whose arguments follow as an object; null while, or because, there is none. */
export function callHead(text: string, { mistral }: { mistral: boolean }): CallHead | null {
  const wrapped = matchStart(objectHead, text);
  const name = wrapped?.[1] === undefined ? undefined : parseJson(wrapped[1]);
  if (wrapped && typeof name === 'string') return { name, length: wrapped[0].length, isWrapped: true };
  const bare = mistral ? matchStart(mistralHead, text) : null;
  return bare?.[1] === undefined ? null : { name: bare[1], length: bare[0].length, isWrapped: false };
}

function matchStart(pattern: RegExp, text: string): RegExpExecArray | null {
  pattern.lastIndex = 0;
  return pattern.exec(text);
}

/** Follows one JSON object as it comes; `depth` 1 begins inside it. White space between its tokens is left out. */
export function objectScanner(depth = 0) {
  let level = depth;
  let inString = false;
  let isEscaped = false;

  return (text: string): { out: string; used: number; isDone: boolean } => {
    let out = '';
    for (let at = 0; at < text.length; at += 1) {
      const character = text.charAt(at);
      if (inString) {
        out += character;
        inString = isEscaped || character !== '"';
        isEscaped = !isEscaped && character === '\\';
        continue;
      }
      // No JSON has it outside a string: the object is broken, and a closing tag begins.
      if (character === '<') return { out, used: at, isDone: true };
      if (/\s/.test(character)) continue;
      out += character;
      inString = character === '"';
      if (character === '{' || character === '[') level += 1;
      if (character === '}' || character === ']') level -= 1;
      if (level === 0) return { out, used: at + 1, isDone: true };
    }
    return { out, used: text.length, isDone: false };
  };
}
