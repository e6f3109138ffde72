// Bytes → the data of Server-Sent Events. Pure: any split of the same bytes gives the same events.

export interface SseParser {
  /** The data of every event completed by this piece. */
  push(bytes: Uint8Array): string[];
}

export function sseParser(): SseParser {
  const decoder = new TextDecoder('utf-8');
  let pending = '';
  let data: string[] = [];

  function line(text: string, out: string[]): void {
    if (text === '') {
      if (data.length > 0) out.push(data.join('\n'));
      data = [];
    } else if (text.startsWith('data:')) {
      data.push(text.startsWith('data: ') ? text.slice(6) : text.slice(5));
    }
    // comments and other fields carry nothing for us
  }

  return {
    push(bytes) {
      const out: string[] = [];
      pending += decoder.decode(bytes, { stream: true });
      let from = 0;
      for (let end = pending.indexOf('\n', from); end !== -1; end = pending.indexOf('\n', from)) {
        line(pending.slice(from, pending[end - 1] === '\r' ? end - 1 : end), out);
        from = end + 1;
      }
      pending = pending.slice(from);
      return out;
    },
  };
}

export async function* sseData(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const parser = sseParser();
  for await (const bytes of body) yield* parser.push(bytes);
}
