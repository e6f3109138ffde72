// JSON as people send it: duplicate keys and depth are seen, and numbers keep the digits they were written with. Pure.
import { AppError } from '../../errors.ts';

export interface ParsedJson {
  value: unknown;
  /** The same, with every number that would be rewritten kept as its text; `JSON.stringify` gives it back unchanged. */
  exact: unknown;
  /** Paths of keys that appear twice in their object. */
  duplicates: string[];
}

const deepest = 32;
const raw = JSON as unknown as { rawJSON(text: string): unknown };
type Reviver = (key: string, value: unknown) => unknown;

export function parseJson(text: string): ParsedJson {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AppError('VALIDATION_ERROR', 'The document is not valid JSON.', { cause: error });
  }
  const { duplicates, depth } = survey(text);
  if (depth > deepest) {
    throw new AppError('VALIDATION_ERROR', `The document is nested ${depth} levels deep; ${deepest} are accepted.`);
  }
  return { value, exact: parseExact(text), duplicates };
}

export function parseExact(text: string): unknown {
  const keepDigits = (_key: string, value: unknown, { source }: { source?: string }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? raw.rawJSON(source) : value;
  return JSON.parse(text, keepDigits as Reviver);
}

interface Level {
  keys: Set<string> | null;
  key: string;
  position: number;
  isKeyNext: boolean;
}

/** Walks text that is known to be valid JSON. */
function survey(text: string): { duplicates: string[]; depth: number } {
  const duplicates: string[] = [];
  const levels: Level[] = [];
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    const level = levels.at(-1);
    if (char === '{' || char === '[') {
      const keys = char === '{' ? new Set<string>() : null;
      levels.push({ keys, key: '', position: 0, isKeyNext: keys !== null });
      depth = Math.max(depth, levels.length);
    } else if (char === '}' || char === ']') {
      levels.pop();
    } else if (char === ',' && level) {
      level.position += 1;
      level.isKeyNext = level.keys !== null;
    } else if (char === '"') {
      const end = stringEnd(text, at);
      if (level?.keys && level.isKeyNext) {
        level.key = JSON.parse(text.slice(at, end + 1)) as string;
        level.isKeyNext = false;
        if (level.keys.has(level.key)) duplicates.push(pathOf(levels));
        level.keys.add(level.key);
      }
      at = end;
    }
  }
  return { duplicates, depth };
}

function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

const pathOf = (levels: readonly Level[]) =>
  levels
    .map(({ keys, key, position }) => (keys ? `.${key}` : `[${position}]`))
    .join('')
    .replace(/^\./, '');
