import { describe, expect, it } from 'vitest';
import { createSseParser } from './sse.ts';

function parse(pieces: string[]): string[] {
  const parser = createSseParser();
  return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
}

const stream =
  ': ping\n\ndata: {"a":1}\n\ndata:two\ndata: lines\n\nevent: x\r\ndata: crlf\r\n\r\ndata: \u{1F30A}\r\rdata: [DONE]\n\n';
const events = ['{"a":1}', 'two\nlines', 'crlf', '\u{1F30A}', '[DONE]'];

describe('the SSE parser', () => {
  it('gives the data of each event and nothing of comments or other fields', () => {
    expect(parse([stream])).toEqual(events);
  });

  it('gives the same events however the text is cut', () => {
    for (let size = 1; size < stream.length; size += 1) {
      const pieces = stream.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? [];
      expect(parse(pieces), `pieces of ${size}`).toEqual(events);
    }
  });

  it('gives an event that the stream ended without closing', () => {
    expect(parse(['data: last'])).toEqual(['last']);
    expect(parse(['data: last\n'])).toEqual(['last']);
    expect(parse(['data: last\r'])).toEqual(['last']);
  });

  it('removes one space after the colon, no more', () => {
    expect(parse(['data:  two spaces\n\n'])).toEqual([' two spaces']);
  });
});
