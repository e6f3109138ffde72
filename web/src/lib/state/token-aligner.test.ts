import { describe, expect, it } from 'vitest';
import type { ActivationEntry } from '#lib/api/types.ts';
import { TokenAligner } from './token-aligner.ts';

const entries = (tokens: string[]): ActivationEntry[] =>
  tokens.map((token, at) => ({ position: 10 + at, token_id: at, token, sae_id: 'demo', features: [] }));

const shown = (aligner: TokenAligner) =>
  aligner.segments.map(({ text, entry }) => [text, entry ? entry.position : null]);

describe('laying entries over text', () => {
  it('gives each token its piece of the text and leaves the rest as a tail', () => {
    const aligner = new TokenAligner();
    aligner.appendText('The sea is');
    aligner.appendEntries(entries(['The', ' sea']));
    expect(shown(aligner)).toEqual([
      ['The', 10],
      [' sea', 11],
    ]);
    expect(aligner.tail).toBe(' is');
  });

  it('finds a first token whose leading space the text has lost', () => {
    const aligner = new TokenAligner();
    aligner.appendText('The sea');
    aligner.appendEntries(entries([' The', ' sea']));
    expect(shown(aligner)).toEqual([
      ['The', 10],
      [' sea', 11],
    ]);
  });

  it('waits for text that is held back', () => {
    const aligner = new TokenAligner();
    aligner.appendEntries(entries(['The']));
    expect(shown(aligner)).toEqual([]);
    aligner.appendText('The');
    expect(shown(aligner)).toEqual([['The', 10]]);
  });

  it('leaves a character made of several tokens without an entry and goes on after it', () => {
    const aligner = new TokenAligner();
    aligner.appendText('hi 🌊!');
    aligner.appendEntries(entries(['hi', ' \uFFFD', '\uFFFD', '!']));
    expect(shown(aligner)).toEqual([
      ['hi', 10],
      [' 🌊', null],
      ['!', 13],
    ]);
  });

  it('drops an entry that fits nowhere once enough text has passed', () => {
    const aligner = new TokenAligner();
    aligner.appendText('one two three four five six seven');
    aligner.appendEntries(entries(['zebra', 'one']));
    expect(shown(aligner)).toEqual([['one', 11]]);
  });

  it('drops what still waits when the text has ended', () => {
    const aligner = new TokenAligner();
    aligner.appendText('short');
    aligner.appendEntries(entries(['zebra', 'short']));
    expect(shown(aligner)).toEqual([]);
    aligner.end();
    expect(shown(aligner)).toEqual([['short', 11]]);
  });

  it('never changes the text, whatever the entries', () => {
    const aligner = new TokenAligner();
    const text = 'The sea, the sea: the open sea! 🌊🌊 The blue.';
    for (const [at, character] of [...text].entries()) {
      aligner.appendText(character);
      if (at % 3 === 0) aligner.appendEntries(entries([character, 'x', ' ' + character]));
    }
    aligner.end();
    expect(aligner.segments.map((segment) => segment.text).join('') + aligner.tail).toBe(text);
    expect(new Set(aligner.segments.map((segment) => segment.id)).size).toBe(aligner.segments.length);
  });
});
