// Turns the text of one choice into parts as it becomes certain. The plain form: everything is content.

export type OutputPart =
  | { kind: 'content'; text: string }
  | { kind: 'reasoning'; text: string }
  | { kind: 'call'; index: number; id: string; name: string }
  | { kind: 'arguments'; index: number; text: string };

export interface OutputParser {
  push(text: string): OutputPart[];
  /** Nothing more comes: what was held back is released. */
  end(): OutputPart[];
}

export const plainOutput = (): OutputParser => ({
  push: (text) => (text === '' ? [] : [{ kind: 'content', text }]),
  end: () => [],
});
