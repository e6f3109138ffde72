import { expect, it } from 'vitest';
import {
  formatActivation,
  formatBytes,
  formatDensity,
  formatDuration,
  formatMoment,
  formatParameters,
  formatPercent,
  formatStrength,
} from './format.ts';

it('writes numbers with their units', () => {
  expect(formatBytes(512)).toBe('512 B');
  expect(formatBytes(538_060_032)).toBe('538 MB');
  expect(formatBytes(1_240_000_000)).toBe('1.24 GB');
  expect(formatParameters(134_515_008)).toBe('135M');
  expect(formatParameters(7_000_000_000)).toBe('7B');
  expect(formatDensity(0.0021)).toBe('0.21 %');
  expect(formatDensity(0.00001)).toBe('<0.01 %');
  expect(formatDensity(0.123)).toBe('12.3 %');
  expect(formatPercent(0.8571)).toBe('85.7 %');
  expect(formatPercent(-0.02)).toBe('-2.0 %');
  expect(formatStrength(31.5)).toBe('+31.5');
  expect(formatStrength(-40)).toBe('−40');
  expect(formatStrength(0)).toBe('0');
  expect(formatStrength(0.25)).toBe('+0.25');
  expect(formatActivation(3.256)).toBe('3.26');
  expect(formatActivation(41.7)).toBe('41.7');
  expect(formatActivation(123.4)).toBe('123');
  expect(formatDuration(59)).toBe('59 s');
  expect(formatDuration(600)).toBe('10 min');
  expect(formatDuration(5460)).toBe('1 h 31 min');
  expect(formatDuration(200_000)).toBe('2 d');

  const noon = Date.parse('2026-01-02T12:00:00Z');
  expect(formatMoment('2026-01-02T12:00:00Z', noon)).toBe('now');
  expect(formatMoment('2026-01-02T11:57:00Z', noon)).toBe('3 min ago');
  expect(formatMoment('2026-01-02T09:30:00Z', noon)).toBe('2 h ago');
  expect(formatMoment('2026-01-05T12:00:00Z', noon)).toBe('in 3 d');
});
