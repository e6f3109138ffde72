// Which document this is, from its content alone. Pure.
import { AppError } from '../../errors.ts';
import { isObject } from './fields.ts';
import type { Json } from './fields.ts';

export type Recognised =
  | { kind: 'plain' | 'cluster' | 'circuit' | 'probe'; value: Json; exact: Json }
  | { kind: 'bundle'; items: { value: unknown; exact: unknown }[] };

const kinds: Readonly<Record<string, 'cluster' | 'bundle' | 'circuit'>> = {
  'mistudio.cluster-definition': 'cluster',
  'mistudio.cluster-bundle': 'bundle',
  'mistudio.circuit-definition': 'circuit',
};
const probe = 'mistudio.probe-definition';
const bundleLimit = 50;

const largest = 1024 * 1024;
export const largestProbe = 2 * largest;

export function refuseTooLarge(bytes: number, kind: unknown): void {
  const limit = typeof kind === 'string' && kind.startsWith(probe) ? largestProbe : largest;
  if (bytes <= limit) return;
  throw new AppError('PAYLOAD_TOO_LARGE', `The document has ${bytes} bytes; ${limit} are accepted.`);
}

/** `value` and `exact` are the same document; the second keeps the digits of its numbers. */
export function recognise(value: unknown, exact: unknown): Recognised {
  if (!isObject(value) || !isObject(exact)) throw bad('The document must be a JSON object.');
  if (typeof value['success'] === 'boolean' && 'data' in value) return unwrap(value, exact);
  if (typeof value['kind'] === 'string') return byKind(value['kind'], value, exact);
  if ('kind' in value && value['kind'] !== null) throw bad('`kind` must be a string.');
  const hasShape = Array.isArray(value['features']) || isObject(value['steering']);
  if (hasShape) return { kind: 'plain', value, exact };
  if ('members' in value || 'definitions' in value) {
    throw new AppError('UNKNOWN_KIND', 'The document has members but no kind, so nothing says what they are.');
  }
  throw bad('The document is no profile: it has neither `features` (a list) nor `steering` (an object).');
}

function unwrap(value: Json, exact: Json): Recognised {
  const error = isObject(value['error']) ? value['error']['message'] : null;
  if (value['success'] === false) throw bad(`The document is an error answer: ${String(error ?? 'no message')}`);
  const data = value['data'];
  if (isObject(data) && typeof data['success'] === 'boolean' && 'data' in data) {
    throw bad('The document is wrapped twice.');
  }
  return recognise(data, exact['data']);
}

function byKind(kind: string, value: Json, exact: Json): Recognised {
  if (kind === `${probe}/v1`) return { kind: 'probe', value, exact };
  if (kind.startsWith(`${probe}/`)) throw bad(`This server reads ${probe} v1, not "${kind}".`, { kind });
  const known = kinds[kind];
  if (known === undefined) {
    throw new AppError('UNKNOWN_KIND', `This server cannot import a document of kind "${kind}".`, {
      details: { kind },
    });
  }
  const version = value['schema_version'] ?? '1';
  if (version !== '1') {
    const message = `This server reads ${kind} version 1, not version ${JSON.stringify(version)}.`;
    throw bad(message, { kind, schema_version: version });
  }
  if (known !== 'bundle') return { kind: known, value, exact };
  const items = value['definitions'];
  if (!Array.isArray(items) || items.length === 0 || items.length > bundleLimit) {
    throw bad(`A cluster bundle holds 1 to ${bundleLimit} definitions.`, { kind });
  }
  const exactItems = exact['definitions'] as unknown[];
  return { kind: 'bundle', items: items.map((item, position) => ({ value: item, exact: exactItems[position] })) };
}

/** A definition inside a bundle; its kind may be absent. */
export function recogniseItem(value: unknown, exact: unknown): Recognised {
  if (!isObject(value) || !isObject(exact)) throw bad('A definition must be an object.');
  if (value['kind'] == null) return byKind('mistudio.cluster-definition', value, exact);
  const found = recognise(value, exact);
  if (found.kind !== 'cluster') throw bad('A cluster bundle holds cluster definitions only.');
  return found;
}

const bad = (message: string, details: Record<string, unknown> = {}) =>
  new AppError('VALIDATION_ERROR', message, { details });
