// Running statistics per feature of one SAE (Welford's method). Pure.

export interface Statistics {
  index: number;
  count: number;
  mean: number;
  std: number;
  min: number;
  max: number;
  activeRatio: number;
}

interface Running {
  count: number;
  mean: number;
  /** Sum of squared differences from the mean. */
  m2: number;
  min: number;
  max: number;
  active: number;
  /** Tokens at which this feature was read by name while the strongest were not asked for. */
  readAlone: number;
}

export type RunningStatistics = ReturnType<typeof runningStatistics>;

export function runningStatistics() {
  const byIndex = new Map<number, Running>();
  let tokens = 0;
  let ranked = 0;

  return {
    tokens: () => tokens,
    /** One token. `isRanked`: the strongest of all features were asked for, so an absent one was seen to be weak. */
    add(features: readonly { index: number; value: number }[], isRanked: boolean): void {
      tokens += 1;
      if (isRanked) ranked += 1;
      for (const { index, value } of features) {
        let entry = byIndex.get(index);
        if (!entry) {
          entry = { count: 0, mean: 0, m2: 0, min: Infinity, max: -Infinity, active: 0, readAlone: 0 };
          byIndex.set(index, entry);
        }
        entry.count += 1;
        const off = value - entry.mean;
        entry.mean += off / entry.count;
        entry.m2 += off * (value - entry.mean);
        entry.min = Math.min(entry.min, value);
        entry.max = Math.max(entry.max, value);
        if (value > 0) entry.active += 1;
        if (!isRanked) entry.readAlone += 1;
      }
    },
    list(): Statistics[] {
      return [...byIndex].map(([index, { count, mean, m2, min, max, active, readAlone }]) => ({
        index,
        count,
        mean,
        std: Math.sqrt(m2 / count),
        min,
        max,
        activeRatio: active / (ranked + readAlone),
      }));
    },
  };
}
