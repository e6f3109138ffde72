// A zod failure → the OpenAI error that names the field. Bodies are never coerced.
import type { z } from 'zod';
import { AppError } from '../errors.ts';

type Issue = z.core.$ZodIssue;

export function parseBody<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  if (body === null || typeof body !== 'object' || Array.isArray(body)) {
    throw new AppError('INVALID_JSON', 'The request body must be a JSON object.');
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw toError(mostSpecific(parsed.error.issues), body);
}

/** Of a union's branches, the one that got furthest: past the types, or deeper into the value. */
function mostSpecific(issues: readonly Issue[], prefix: PropertyKey[] = []): Issue {
  const [first] = issues;
  if (!first) throw new Error('A failed parse without issues.');
  const issue = { ...first, path: [...prefix, ...first.path] } as Issue;
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  const branches = issue.errors.filter((errors) => errors.length > 0);
  const deeper = branches.map((errors) => mostSpecific(errors, issue.path)).filter((inner) => reaches(inner, issue));
  const depth = (inner: Issue) => inner.path.length + (inner.code === 'invalid_type' ? 0 : 1000);
  return deeper.sort((a, b) => depth(b) - depth(a))[0] ?? issue;
}

const reaches = (inner: Issue, union: Issue) => inner.path.length > union.path.length || inner.code !== 'invalid_type';

function toError(issue: Issue, body: unknown): AppError {
  const param = formatPath(issue.path);
  const value = valueAt(body, issue.path);
  const isMissing = value === undefined;
  const absent = isMissing ? { v1Code: 'missing_required_parameter' } : {};
  if (issue.code === 'custom') {
    const v1Code = (issue.params as { v1Code?: string } | undefined)?.v1Code;
    return new AppError('VALIDATION_ERROR', issue.message, { param, ...absent, ...(v1Code && { v1Code }) });
  }
  if (isMissing) {
    const message = issue.message.startsWith('Invalid') ? `Missing required parameter: '${param}'.` : issue.message;
    return new AppError('VALIDATION_ERROR', message, { param, ...absent });
  }
  if (issue.code === 'invalid_type' || issue.code === 'invalid_union') {
    const expected = issue.code === 'invalid_type' ? typeWord(issue.expected) : unionWords(issue);
    const message = `Invalid type for '${param}': expected ${expected}, got ${typeOf(value)}.`;
    return new AppError('VALIDATION_ERROR', message, { param, v1Code: 'invalid_type' });
  }
  // A bound with words of its own is a whole sentence; zod's words for any other bound begin like this.
  const isOwn = (issue.code === 'too_small' || issue.code === 'too_big') && !/^Too (small|big)/.test(issue.message);
  const message = isOwn ? issue.message : `Invalid value for '${param}': ${sentence(issue, value)}`;
  return new AppError('VALIDATION_ERROR', message, { param });
}

function sentence(issue: Issue, value: unknown): string {
  if (issue.code === 'invalid_value') {
    const choices = issue.values.map((choice) => JSON.stringify(choice)).join(', ');
    return `expected one of ${choices}, got ${shown(value)}.`;
  }
  if (issue.code === 'too_small') return `expected at least ${issue.minimum}, got ${shown(value)}.`;
  if (issue.code === 'too_big') return `expected at most ${issue.maximum}, got ${shown(value)}.`;
  return `${issue.message}.`;
}

export function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

const typeWords: Readonly<Record<string, string>> = { int: 'integer', record: 'object', nullable: 'null' };
const typeWord = (name: string) => typeWords[name] ?? name;

function unionWords(issue: Extract<Issue, { code: 'invalid_union' }>): string {
  const words = issue.errors.flatMap((errors) =>
    errors.flatMap((error) =>
      error.code === 'invalid_type' && error.path.length === 0 ? [typeWord(error.expected)] : [],
    ),
  );
  return [...new Set(words)].join(' or ') || 'another type';
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value;
}

export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? String(key) : `${text}.${String(key)}`;
  }, '');
}

function valueAt(body: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | null | undefined)?.[key], body);
}
