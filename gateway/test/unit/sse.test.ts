import { describe, expect, it } from 'vitest';
import { sseParser } from '../../src/inference/sse.ts';

const text = ': ping\n\ndata: {"text":"café 👩‍👩‍👧"}\r\n\r\ndata:second\n\nevent: x\ndata: a\ndata: b\n\ndata: unfinished';
const wanted = ['{"text":"café 👩‍👩‍👧"}', 'second', 'a\nb'];

describe('sse', () => {
  it('decodes to the same events however the bytes are cut', () => {
    const bytes = Buffer.from(text);
    for (let size = 1; size <= bytes.length; size += 1) {
      const parser = sseParser();
      const out: string[] = [];
      for (let from = 0; from < bytes.length; from += size) out.push(...parser.push(bytes.subarray(from, from + size)));
      expect(out, `pieces of ${size}`).toEqual(wanted);
    }
  });

  it('gives nothing for comments and unfinished events', () => {
    expect(sseParser().push(Buffer.from(': ping\n\n: ping\n\ndata: x\n'))).toEqual([]);
  });
});
