// Fields of a body that its schema does not know. This file alone looks into zod's definitions.
import type { z } from 'zod';

interface Definition {
  type: string;
  shape?: Record<string, z.core.$ZodType>;
  innerType?: z.core.$ZodType;
  in?: z.core.$ZodType;
  element?: z.core.$ZodType;
}

export function unknownFields(schema: z.core.$ZodType, value: unknown, path = ''): string[] {
  const definition = schema._zod.def as unknown as Definition;
  const inner = definition.innerType ?? definition.in;
  if (inner) return unknownFields(inner, value, path);
  if (definition.type === 'array' && definition.element && Array.isArray(value)) {
    const element = definition.element;
    return value.flatMap((item, position) => unknownFields(element, item, `${path}[${position}]`));
  }
  const shape = definition.shape;
  if (!shape || value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, field]) => {
    const name = path === '' ? key : `${path}.${key}`;
    const known = Object.hasOwn(shape, key) ? shape[key] : undefined;
    return known ? unknownFields(known, field, name) : [name];
  });
}

const longestHeader = 1024;

/** An RFC 8941 list of strings; what does not fit is counted. */
export function ignoredFieldsHeader(fields: readonly string[]): string | null {
  if (fields.length === 0) return null;
  const quoted = fields.map((field) => `"${field.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`);
  const more = (count: number) => `"+${count} more"`;
  const kept: string[] = [];
  let length = 0;
  for (const item of quoted) {
    if (length + item.length + 2 + more(quoted.length).length > longestHeader) break;
    kept.push(item);
    length += item.length + 2;
  }
  if (kept.length < quoted.length) kept.push(more(quoted.length - kept.length));
  return kept.join(', ');
}
