// <think>…</think> at the start of an answer is reasoning; the rest goes to the parser of the answer proper. `isOpen`: the
// prompt has opened it already, and the answer begins inside (a tag said once more is left out).
import type { OutputParser, OutputPart } from './output.ts';

const open = '<think>';
const close = '</think>';

export function reasoningOutput(answer: OutputParser, { isOpen = false } = {}): OutputParser {
  let state: 'start' | 'reasoning' | 'gap' | 'answer' = 'start';
  let held = '';
  let hasReasoned = false;

  function step(): OutputPart[] | null {
    switch (state) {
      case 'start': {
        const text = held.trimStart();
        if (text.startsWith(open)) {
          held = text.slice(open.length);
          state = 'reasoning';
          return [];
        }
        if (open.startsWith(text)) return null;
        state = isOpen ? 'reasoning' : 'answer';
        return [];
      }
      case 'reasoning': {
        if (!hasReasoned) held = held.trimStart();
        hasReasoned ||= held !== '';
        const end = held.indexOf(close);
        if (end >= 0) {
          const text = held.slice(0, end).trimEnd();
          held = held.slice(end + close.length);
          state = 'gap';
          return reasoning(text);
        }
        const keep = heldBack(held);
        const text = held.slice(0, held.length - keep);
        if (text === '') return null;
        held = held.slice(held.length - keep);
        return reasoning(text);
      }
      case 'gap':
        held = held.trimStart();
        if (held === '') return null;
        state = 'answer';
        return [];
      case 'answer': {
        if (held === '') return null;
        const text = held;
        held = '';
        return answer.push(text);
      }
    }
  }

  return {
    push(text) {
      held += text;
      const out: OutputPart[] = [];
      for (let parts = step(); parts !== null; parts = step()) out.push(...parts);
      return out;
    },
    end() {
      const rest = held;
      held = '';
      if (state === 'reasoning' || (state === 'start' && isOpen)) return reasoning(rest.trim());
      const last = state === 'gap' || rest === '' ? [] : answer.push(rest);
      return [...last, ...answer.end()];
    },
  };
}

const reasoning = (text: string): OutputPart[] => (text === '' ? [] : [{ kind: 'reasoning', text }]);

/** The end that could become the closing tag, and the white space before it. */
function heldBack(text: string): number {
  for (let length = Math.min(close.length - 1, text.length); length > 0; length -= 1) {
    if (close.startsWith(text.slice(-length))) {
      const before = text.slice(0, -length);
      return length + (before.length - before.trimEnd().length);
    }
  }
  return text.length - text.trimEnd().length;
}
