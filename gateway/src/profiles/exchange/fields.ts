// Reading one field of a document: the value, or a problem noted and null. Pure.
import { strengthLimit } from '../../steering/schemas.ts';
import type { Notes } from './draft.ts';

export type Json = Record<string, unknown>;

export const isObject = (value: unknown): value is Json =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

export interface Place {
  holder: Json;
  path: string;
  notes: Notes;
}

export const at = (path: string, key: string) => (path === '' ? key : `${path}.${key}`);
const isAbsent = (value: unknown) => value === undefined || value === null;

function note({ holder, path, notes }: Place, key: string, reason: string): null {
  notes.problems.push({ path: at(path, key), value: holder[key] ?? null, reason });
  return null;
}

export function text(place: Place, key: string, { max, required = false }: { max?: number; required?: boolean } = {}) {
  const value = place.holder[key];
  if (isAbsent(value)) return required ? note(place, key, 'is required') : null;
  if (typeof value !== 'string') return note(place, key, 'must be a string');
  if (required && value.trim() === '') return note(place, key, 'must not be empty');
  if (max !== undefined && value.length > max) return note(place, key, `is longer than ${max} characters`);
  return value;
}

export interface NumberRule {
  min?: number;
  max?: number;
  integer?: boolean;
  required?: boolean;
}

export function number(place: Place, key: string, rule: NumberRule = {}): number | null {
  const value = place.holder[key];
  if (isAbsent(value)) return rule.required ? note(place, key, 'is required') : null;
  const reason = whyNotNumber(value, rule);
  return reason === null ? (value as number) : note(place, key, reason);
}

export function whyNotNumber(value: unknown, { min, max, integer = false }: NumberRule): string | null {
  if (typeof value !== 'number' || !Number.isFinite(value)) return 'must be a number';
  if (integer && !Number.isSafeInteger(value)) return 'must be an integer';
  if (min !== undefined && value < min) return `must be at least ${min}`;
  if (max !== undefined && value > max) return `must be at most ${max}`;
  return null;
}

export const index: NumberRule = { integer: true, min: 0 };

export function whyNotStrength(value: unknown): string | null {
  if (typeof value !== 'number' || !Number.isFinite(value)) return 'strength must be a finite number';
  return Math.abs(value) > strengthLimit ? `strength is beyond ±${strengthLimit}` : null;
}

export function object(place: Place, key: string): Json | null {
  const value = place.holder[key];
  if (isAbsent(value)) return null;
  return isObject(value) ? value : note(place, key, 'must be an object');
}

export function list(place: Place, key: string, rule: { required?: boolean; max?: number; min?: number } = {}) {
  const value = place.holder[key];
  if (isAbsent(value)) {
    if (rule.required) note(place, key, 'is required');
    return [];
  }
  if (!Array.isArray(value)) {
    note(place, key, 'must be a list');
    return [];
  }
  if (rule.max !== undefined && value.length > rule.max) {
    place.notes.problems.push({
      path: at(place.path, key),
      value: value.length,
      reason: `has more than ${rule.max} entries`,
    });
  }
  if (rule.min !== undefined && value.length < rule.min) note(place, key, 'must not be empty');
  return value as unknown[];
}

/** Keys of an object that its reader does not know, as paths. */
export const unknownKeys = (holder: Json, path: string, known: readonly string[]) =>
  Object.keys(holder)
    .filter((key) => !known.includes(key))
    .map((key) => at(path, key));
