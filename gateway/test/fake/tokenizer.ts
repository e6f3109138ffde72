// Words as tokens, with ids that stay the same from run to run.
import type { Schemas } from '../../src/inference/contract.ts';

export const vocabSize = 49_152;
const texts = new Map<number, string>();

export function encode(text: string): number[] {
  return (text.match(/\s*\S+|\s+/gu) ?? []).map(tokenId);
}

export function tokenId(text: string): number {
  let id = 7;
  for (const byte of Buffer.from(text)) id = (id * 31 + byte) % vocabSize;
  while (texts.has(id) && texts.get(id) !== text) id = (id + 1) % vocabSize;
  texts.set(id, text);
  return id;
}

export const tokenText = (id: number) => texts.get(id) ?? `<${id}>`;
export const decode = (ids: readonly number[]) => ids.map(tokenText).join('');

export function promptText(prompt: Schemas['Prompt']): string {
  if (prompt.type === 'text') return prompt.text;
  if (prompt.type === 'tokens') return decode(prompt.token_ids);
  return prompt.messages.map((message) => `${String(message['role'])}: ${String(message['content'])}\n`).join('');
}
