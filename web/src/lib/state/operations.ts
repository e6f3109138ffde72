/** The operations on a feature, in the words of the API, with the numbers each one takes. Pure. */
import type { Operation, SteeredFeature } from '#lib/api/types.ts';

export type Parameter = 'strength' | 'value' | 'min' | 'max';

interface Described {
  name: string;
  /** What it does, in one line. */
  about: string;
  parameters: Parameter[];
}

export const operations: Record<Operation, Described> = {
  add: { name: 'Add', about: 'adds its direction to every token', parameters: ['strength'] },
  clamp: { name: 'Clamp', about: 'sets its activation to a value', parameters: ['value'] },
  clamp_range: {
    name: 'Clamp to a range',
    about: 'keeps its activation between two values',
    parameters: ['min', 'max'],
  },
  multiply: { name: 'Multiply', about: 'scales its activation', parameters: ['value'] },
  ablate: { name: 'Ablate', about: 'sets its activation to zero', parameters: [] },
  ablate_direction: { name: 'Ablate the direction', about: 'removes its direction altogether', parameters: [] },
  orthogonal: { name: 'Add orthogonally', about: 'adds what is orthogonal to the state', parameters: ['strength'] },
  norm_add: { name: 'Add, same length', about: 'adds, then restores the length', parameters: ['strength'] },
};

export const operationNames = Object.keys(operations) as Operation[];

const START: Record<Parameter, number> = { strength: 10, value: 0, min: 0, max: 10 };

/** The feature under another operation: the numbers it takes, kept where it has them, and none that it does not take. */
export function withOperation<F extends SteeredFeature>(feature: F, op: Operation): F {
  const { strength: _s, value: _v, min: _n, max: _x, ...rest } = feature;
  const numbers = operations[op].parameters.map((name) => [name, feature[name] ?? START[name]] as const);
  return { ...rest, op, ...Object.fromEntries(numbers) } as F;
}

type Performed = { op?: Operation | null } & { [Name in Parameter]?: number | null };

/** `+12`, `clamp 4`, `between 0 and 8`: what is done to it, as short as can be. */
export function describeOperation({ op, strength, value, min, max }: Performed): string {
  const number = (of: number | null | undefined) => String(Number((of ?? 0).toFixed(2))).replace('-', '−');
  switch (op ?? 'add') {
    case 'add':
      return `${(strength ?? 0) > 0 ? '+' : ''}${number(strength)}`;
    case 'clamp':
      return `clamp ${number(value)}`;
    case 'clamp_range':
      return max == null
        ? `at least ${number(min)}`
        : min == null
          ? `at most ${number(max)}`
          : `between ${number(min)} and ${number(max)}`;
    case 'multiply':
      return `× ${number(value)}`;
    case 'ablate':
      return 'ablate';
    case 'ablate_direction':
      return 'ablate direction';
    case 'orthogonal':
      return `orthogonal ${number(strength)}`;
    case 'norm_add':
      return `same length ${number(strength)}`;
  }
}
