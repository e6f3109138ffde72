// A value that a grammar allows, as text.
import type { Schemas } from '../../src/inference/contract.ts';

export function sampleOf({ kind, value }: Schemas['Grammar']): string {
  switch (kind) {
    case 'json_object':
      return '{"ok": true}';
    case 'json_schema':
      return JSON.stringify(instance(JSON.parse(value) as Schema));
    case 'choice':
      return (JSON.parse(value) as string[])[0] ?? '';
    case 'regex':
    case 'lark':
      return value;
  }
}

interface Schema {
  type?: string | string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  minItems?: number;
}

function instance(schema: Schema): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const branch = (schema.anyOf ?? schema.oneOf)?.[0];
  if (branch) return instance(branch);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case 'array':
      return Array.from({ length: Math.max(schema.minItems ?? 1, 1) }, () => instance(schema.items ?? {}));
    case 'string':
      return 'Paris';
    case 'number':
    case 'integer':
      return 7;
    case 'boolean':
      return true;
    case 'null':
      return null;
    default:
      return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([key, inner]) => [key, instance(inner)]));
  }
}
