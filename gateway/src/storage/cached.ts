/** A value kept for a moment; concurrent readers share one load, and `invalidate` is seen by the next reader. */
export function cached<T>(ttlMs: number, load: () => Promise<T>) {
  let current: { value: Promise<T>; at: number } | null = null;
  return {
    get(): Promise<T> {
      if (current && performance.now() - current.at < ttlMs) return current.value;
      const entry = { value: load(), at: performance.now() };
      entry.value.catch(() => {
        if (current === entry) current = null;
      });
      current = entry;
      return entry.value;
    },
    invalidate() {
      current = null;
    },
  };
}
