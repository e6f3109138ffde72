// Several generators as one, a few at a time; leaving early closes them all.

export async function* merge<T>(
  starters: readonly (() => Promise<AsyncGenerator<T>>)[],
  atOnce: number,
): AsyncGenerator<T> {
  const running = new Map<number, { source: AsyncGenerator<T>; next: Promise<Step<T>> }>();
  let started = 0;
  const advance = (key: number, source: AsyncGenerator<T>) =>
    source.next().then((result) => ({ key, source, result }) as Step<T>);

  async function fill(): Promise<void> {
    while (running.size < atOnce) {
      const starter = starters[started];
      if (!starter) return;
      const key = started;
      started += 1;
      const source = await starter();
      running.set(key, { source, next: advance(key, source) });
    }
  }

  try {
    await fill();
    while (running.size > 0) {
      const { key, source, result } = await Promise.race([...running.values()].map(({ next }) => next));
      if (result.done) {
        running.delete(key);
        await fill();
      } else {
        yield result.value;
        running.set(key, { source, next: advance(key, source) });
      }
    }
  } finally {
    for (const { source, next } of running.values()) {
      next.catch(() => undefined);
      void source.return(undefined);
    }
  }
}

interface Step<T> {
  key: number;
  source: AsyncGenerator<T>;
  result: IteratorResult<T>;
}
