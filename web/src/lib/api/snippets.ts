/** The request a person just made on the page, as code they can run elsewhere. Pure. */
import type { ChatRequest } from './types.ts';

export function asCurl(origin: string, request: ChatRequest): string {
  const body = JSON.stringify({ ...request, stream: true }, null, 2);
  return [
    `curl -N ${origin}/v1/chat/completions \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d '${body.replaceAll("'", `'\\''`)}'`,
  ].join('\n');
}

export function asPython(origin: string, request: ChatRequest): string {
  const { steering, activations, ...standard } = request;
  const extra = { ...(steering && { steering }), ...(activations && { activations }) };
  const args = Object.entries(standard).map(([name, value]) => `    ${name}=${pythonLiteral(value, 1)},`);
  if (Object.keys(extra).length > 0) args.push(`    extra_body=${pythonLiteral(extra, 1)},`);
  return [
    'from openai import OpenAI',
    '',
    `client = OpenAI(base_url="${origin}/v1", api_key="unused")`,
    'stream = client.chat.completions.create(',
    ...args,
    '    stream=True,',
    ')',
    'for chunk in stream:',
    '    if chunk.choices:',
    '        print(chunk.choices[0].delta.content or "", end="", flush=True)',
    '',
  ].join('\n');
}

function pythonLiteral(value: unknown, depth: number): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string' || typeof value === 'number') return JSON.stringify(value);
  const pad = '    '.repeat(depth + 1);
  const close = '    '.repeat(depth);
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    return `[\n${value.map((item) => `${pad}${pythonLiteral(item, depth + 1)},`).join('\n')}\n${close}]`;
  }
  const entries = Object.entries(value as Record<string, unknown>);
  if (entries.every(([, item]) => typeof item !== 'object' || item === null)) {
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}: ${pythonLiteral(item, depth)}`).join(', ')}}`;
  }
  const lines = entries.map(([key, item]) => `${pad}${JSON.stringify(key)}: ${pythonLiteral(item, depth + 1)},`);
  return `{\n${lines.join('\n')}\n${close}}`;
}
