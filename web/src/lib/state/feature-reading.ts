/**
 * What a feature did on some texts: how often it fired, how strongly, and where most. Pure.
 *
 * The first token of a text counts for nothing: models put activations of another order of magnitude there, whatever it says
 * ("Massive Activations in Large Language Models", Sun et al. 2024), which would be the top of every feature.
 */
import type { ActivationEntry } from '#lib/api/types.ts';

/** One text as its tokens, with the feature's activation at each. */
export interface Context {
  tokens: readonly string[];
  values: readonly number[];
}

export interface Bin {
  from: number;
  to: number;
  count: number;
}

export interface Reading {
  /** The strongest first. */
  contexts: Context[];
  tokens: number;
  fired: number;
  /** Of the tokens where it fired; 0 where it never did. */
  mean: number;
  max: number;
  /** Of the tokens where it fired. */
  bins: Bin[];
}

const BINS = 12;

export function contextOf(entries: readonly ActivationEntry[], index: number): Context {
  const at = (entry: ActivationEntry) => entry.features.find((feature) => feature.index === index)?.value ?? 0;
  return {
    tokens: entries.map(({ token }) => token),
    values: entries.map((entry, place) => (place > 0 ? at(entry) : 0)),
  };
}

export const peakOf = ({ values }: Context): number => values.reduce((most, value) => Math.max(most, value), 0);

export function summarise(contexts: readonly Context[]): Reading {
  const values = contexts.flatMap((context) => context.values.slice(1));
  const fired = values.filter((value) => value > 0);
  const max = fired.reduce((most, value) => Math.max(most, value), 0);
  const sum = fired.reduce((all, value) => all + value, 0);
  return {
    contexts: contexts.toSorted((a, b) => peakOf(b) - peakOf(a)),
    tokens: values.length,
    fired: fired.length,
    mean: fired.length > 0 ? sum / fired.length : 0,
    max,
    bins: histogram(fired, max),
  };
}

function histogram(values: readonly number[], max: number): Bin[] {
  if (max <= 0) return [];
  const width = max / BINS;
  const bins = Array.from({ length: BINS }, (_, at): Bin => ({ from: at * width, to: (at + 1) * width, count: 0 }));
  for (const value of values) {
    const bin = bins[Math.min(BINS - 1, Math.floor(value / width))];
    if (bin) bin.count += 1;
  }
  return bins;
}

/** Contexts that a labels file brought; whatever has another form is left out. */
export function storedContexts(stored: readonly unknown[]): Context[] {
  return stored.flatMap((item) => {
    const { tokens, values } = (item ?? {}) as { tokens?: unknown; values?: unknown };
    if (!Array.isArray(tokens) || !Array.isArray(values) || tokens.length !== values.length) return [];
    if (!tokens.every((token) => typeof token === 'string') || !values.every((value) => typeof value === 'number')) {
      return [];
    }
    return [{ tokens: tokens as string[], values: values as number[] }];
  });
}

/** One text per line, empty lines left out. */
export function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
}
