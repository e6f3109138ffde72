// Chunks → the bytes of a stream: one `data:` line per chunk, pings while nothing comes, errors in-band, `[DONE]`.
import { ClientGone } from '../inference/client-signal.ts';
import { renderOpenAi, toAppError } from '../errors.ts';
import type { AppError } from '../errors.ts';

export interface StreamOptions {
  keepaliveMs: number;
  onFailure: (error: AppError) => void;
}

const ping = ': ping\n\n';
const end = 'data: [DONE]\n\n';
const frame = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;

export async function* sseFrames(chunks: AsyncIterable<unknown>, options: StreamOptions): AsyncGenerator<string> {
  try {
    for await (const chunk of withPings(chunks, options.keepaliveMs)) yield chunk === pinged ? ping : frame(chunk);
  } catch (thrown) {
    if (thrown instanceof ClientGone) return;
    const error = toAppError(thrown);
    options.onFailure(error);
    yield frame(renderOpenAi(error).body);
  }
  yield end;
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
