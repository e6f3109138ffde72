/** Numbers as people read them, always with their unit. */

export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

export function formatParameters(count: number): string {
  if (count >= 1e9) return `${Number((count / 1e9).toPrecision(3))}B`;
  if (count >= 1e6) return `${Number((count / 1e6).toPrecision(3))}M`;
  return formatCount(count);
}

/** A share of one, which can be negative. */
export function formatPercent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

export function formatDensity(density: number): string {
  const percent = density * 100;
  if (percent > 0 && percent < 0.01) return '<0.01 %';
  return `${percent < 1 ? percent.toFixed(2) : percent.toFixed(1)} %`;
}

export function formatStrength(strength: number): string {
  if (strength === 0) return '0';
  const digits = Number.isInteger(strength) ? 0 : Number.isInteger(strength * 10) ? 1 : 2;
  return `${strength > 0 ? '+' : '−'}${Math.abs(strength).toFixed(digits)}`;
}

export function formatActivation(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

export function formatDuration(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** `3 min ago`, `in 2 d`: how far a moment is, to the unit that matters. */
export function formatMoment(iso: string, now = Date.now()): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 5) return 'now';
  const text = size < 86_400 && size >= 3600 ? `${Math.floor(size / 3600)} h` : formatDuration(size);
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}
