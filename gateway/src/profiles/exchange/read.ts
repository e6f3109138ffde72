// A recognised document → a draft, or every problem it has. Pure.
import { AppError } from '../../errors.ts';
import { readCircuit } from './circuit.ts';
import { readCluster } from './cluster.ts';
import type { BadEntry, Notes, Reading } from './draft.ts';
import { readPlain } from './plain.ts';
import { readProbe } from './probe.ts';
import type { Recognised } from './recognise.ts';

type Single = Exclude<Recognised, { kind: 'bundle' }>;

export function read({ kind, value, exact }: Single, duplicates: readonly string[]): Reading {
  switch (kind) {
    case 'plain':
      return readPlain(value, exact, duplicates);
    case 'cluster':
      return readCluster(value, exact, duplicates);
    case 'circuit':
      return readCircuit(value, exact, duplicates);
    case 'probe':
      return readProbe(value, exact, duplicates);
  }
}

export interface Dropped {
  key: string;
  path: string;
  value: unknown;
  reason: string;
}

/** Refuses with all of it, or with `skip` leaves out what is only bad entries and lists them. */
export function settle({ draft, notes }: Reading, onInvalid: 'refuse' | 'skip'): { dropped: Dropped[] } {
  const { problems, entries } = notes;
  if (problems.length > 0 || (entries.length > 0 && onInvalid === 'refuse')) throw refusal(notes);
  if (entries.length === 0) return { dropped: [] };
  const bad = new Set(entries.map((entry) => entry.key));
  const alsoGone = draft.features.filter((feature) => bad.has(feature.key));
  draft.features = draft.features.filter((feature) => !bad.has(feature.key));
  if (draft.format === 'cluster' && draft.features.length === 0) throw refusal(notes);
  return { dropped: [...entries, ...alsoGone.map(ambiguous)] };
}

const ambiguous = ({ key, path, strength }: { key: string; path: string; strength: number | null }): BadEntry => ({
  key,
  path,
  value: strength,
  reason: 'the feature is listed more than once',
});

function refusal({ problems, entries }: Notes): AppError {
  const errors = [...problems, ...entries.map(({ path, value, reason }) => ({ path, value, reason }))];
  const first = errors[0];
  const rest = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  const message = `The document cannot be imported: ${first?.path ?? ''} ${first?.reason ?? 'is not valid'}${rest}.`;
  const invalid_keys = [...new Set(entries.map((entry) => entry.key))];
  return new AppError('VALIDATION_ERROR', message, { details: { errors, invalid_keys } });
}
