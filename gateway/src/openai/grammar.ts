// response_format, structured_outputs and a forced tool → the constraint the sidecar decodes under. Never silently none.
import { AppError } from '../errors.ts';
import type { Schemas } from '../inference/contract.ts';

export interface Constraint {
  grammar: Schemas['Grammar'];
  /** Value of X-miLLM-Constrained. */
  label: string;
}

interface FormatAsk {
  response_format?: ({ type: string } & Record<string, unknown>) | null | undefined;
  structured_outputs?: Record<string, unknown> | null | undefined;
}

export function toConstraint(ask: FormatAsk): Constraint | null {
  const format = ask.response_format == null ? null : fromFormat(ask.response_format);
  const structured = ask.structured_outputs == null ? null : fromStructured(ask.structured_outputs);
  if (format && structured) {
    refuse('structured_outputs', 'response_format and structured_outputs cannot be used together.');
  }
  return format ?? structured;
}

function fromFormat(format: NonNullable<FormatAsk['response_format']>): Constraint | null {
  switch (format.type) {
    case 'text':
      return null;
    case 'json_object':
      return format['schema'] == null
        ? { grammar: { kind: 'json_object', value: '' }, label: 'json_object' }
        : schemaConstraint(format['schema'], null, 'response_format.schema');
    case 'json_schema': {
      const given = format['json_schema'];
      if (!isObject(given)) {
        return refuse('response_format.json_schema', 'With type "json_schema", `json_schema` must be provided.');
      }
      const name = typeof given['name'] === 'string' ? given['name'] : null;
      return schemaConstraint(given['schema'] ?? {}, name, 'response_format.json_schema.schema');
    }
    default:
      return refuse(
        'response_format.type',
        `response_format.type must be "text", "json_object" or "json_schema", got ${JSON.stringify(format.type)}.`,
      );
  }
}

function fromStructured(ask: Record<string, unknown>): Constraint | null {
  const kinds = ['json', 'regex', 'choice', 'grammar', 'json_object'].filter((kind) => ask[kind] != null);
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) {
    return refuse('structured_outputs', 'structured_outputs needs exactly one of json, regex, choice, grammar.');
  }
  const value = ask[kind];
  const path = `structured_outputs.${kind}`;
  switch (kind) {
    case 'json':
      return schemaConstraint(typeof value === 'string' ? parseSchema(value, path) : value, null, path);
    case 'choice':
      if (!Array.isArray(value) || value.length === 0 || !value.every((item) => typeof item === 'string')) {
        return refuse(path, `${path} must be a list of strings.`);
      }
      return { grammar: { kind: 'choice', value: JSON.stringify(value) }, label: 'choice' };
    case 'json_object':
      return { grammar: { kind: 'json_object', value: '' }, label: 'json_object' };
    default:
      if (typeof value !== 'string') return refuse(path, `${path} must be a string.`);
      return { grammar: { kind: kind === 'regex' ? 'regex' : 'lark', value }, label: kind };
  }
}

export function schemaConstraint(schema: unknown, name: string | null, path: string): Constraint {
  if (!isObject(schema) && typeof schema !== 'boolean') refuse(path, `${path} must be a JSON schema object.`);
  const label = name === null ? 'json_schema' : `json_schema;name="${name.replace(/[^\x20-\x7e]|["\\]/g, '?')}"`;
  return { grammar: { kind: 'json_schema', value: JSON.stringify(schema) }, label };
}

function parseSchema(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return refuse(path, `${path} is not valid JSON.`);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

function refuse(param: string, message: string): never {
  throw new AppError('VALIDATION_ERROR', message, { param });
}
