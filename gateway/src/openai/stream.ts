// Chunks → the bytes of a stream: one `data:` line per chunk, pings while nothing comes, errors in-band, `[DONE]`.
import { ClientGone } from '../inference/client-signal.ts';
import { renderOpenAi, toAppError } from '../errors.ts';
import type { AppError } from '../errors.ts';

export interface StreamOptions {
  keepaliveMs: number;
  onFailure: (error: AppError) => void;
}

/** How a chunk, a failure and the end look on this stream. */
export interface Framing<T> {
  chunk: (value: T) => string;
  failure: (error: AppError) => string;
  end: string;
}

const ping = ': ping\n\n';
const dataLine = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;

/** Chat and text completions: no event names, the error in-band, `[DONE]` last. */
export const completionFraming: Framing<unknown> = {
  chunk: dataLine,
  failure: (error) => dataLine(renderOpenAi(error).body),
  end: 'data: [DONE]\n\n',
};

export async function* sseFrames<T>(
  chunks: AsyncIterable<T>,
  framing: Framing<T>,
  options: StreamOptions,
): AsyncGenerator<string> {
  try {
    for await (const chunk of withPings(chunks, options.keepaliveMs)) {
      yield chunk === pinged ? ping : framing.chunk(chunk as T);
    }
  } catch (thrown) {
    if (thrown instanceof ClientGone) return;
    const error = toAppError(thrown);
    options.onFailure(error);
    yield framing.failure(error);
  }
  yield framing.end;
}

const pinged = Symbol('ping');

async function* withPings<T>(source: AsyncIterable<T>, everyMs: number): AsyncGenerator<T | typeof pinged> {
  const iterator = source[Symbol.asyncIterator]();
  let timer: NodeJS.Timeout | undefined;
  try {
    let next = iterator.next();
    for (;;) {
      const silence = new Promise<typeof pinged>((resolve) => {
        timer = setTimeout(() => resolve(pinged), everyMs);
      });
      const first = await Promise.race([next, silence]);
      clearTimeout(timer);
      if (first === pinged) {
        yield pinged;
        continue;
      }
      if (first.done) return;
      yield first.value;
      next = iterator.next();
    }
  } finally {
    clearTimeout(timer);
    await iterator.return?.();
  }
}
