/**
 * A value kept for a moment; concurrent readers share one load, and `invalidate` is seen by the next reader. While loading
 * fails or takes too long, the last value stands: what was true a moment ago is better than no answer.
 */
export function cached<T>(ttlMs: number, load: () => Promise<T>, waitMs = 2_000) {
  let current: { value: Promise<T>; at: number } | null = null;
  let last: { value: T } | null = null;
  /** A load that readers stopped waiting for; another would hang behind it. */
  let overdue: Promise<unknown> | null = null;

  async function fresh(): Promise<T> {
    if (overdue && last) return last.value;
    const loading = load().then((value) => {
      last = { value };
      return value;
    });
    const stale = last;
    if (stale === null) return loading;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<T>((resolve) => {
      timer = setTimeout(() => {
        overdue = loading.catch(() => undefined).finally(() => (overdue = null));
        resolve(stale.value);
      }, waitMs).unref();
    });
    return Promise.race([loading.catch(() => stale.value), late]).finally(() => clearTimeout(timer));
  }

  return {
    get(): Promise<T> {
      if (current && performance.now() - current.at < ttlMs) return current.value;
      const entry = { value: fresh(), at: performance.now() };
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
