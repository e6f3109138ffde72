/** Server-Sent Events: text in any pieces → the data of each event. Pure; knows nothing of what the data means. */

export interface SseParser {
  /** Feed the next piece; returns the data of every event it completed. */
  push(piece: string): string[];
  /** The data of an event that the stream ended without closing. */
  end(): string[];
}

export function createSseParser(): SseParser {
  let buffer = '';
  let data: string[] = [];

  function takeLine(line: string): string[] {
    if (line === '') {
      if (data.length === 0) return [];
      const event = data.join('\n');
      data = [];
      return [event];
    }
    if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
    return []; // comments (": ping") and other fields carry nothing for us
  }

  return {
    push(piece) {
      buffer += piece;
      const events: string[] = [];
      for (;;) {
        const at = buffer.search(/[\r\n]/);
        if (at === -1) return events;
        const isCr = buffer[at] === '\r';
        if (isCr && at === buffer.length - 1) return events; // its \n may be in the next piece
        const line = buffer.slice(0, at);
        buffer = buffer.slice(at + (isCr && buffer[at + 1] === '\n' ? 2 : 1));
        events.push(...takeLine(line));
      }
    },
    end() {
      const rest = buffer.replace(/\r$/, '');
      buffer = '';
      return [...(rest ? takeLine(rest) : []), ...takeLine('')];
    },
  };
}
