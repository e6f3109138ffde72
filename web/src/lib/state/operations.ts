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
  orthogonal: {
    name: 'Scale the direction',
    about: 'scales what lies along its direction: 0 removes it, 1 leaves it',
    parameters: ['strength'],
  },
  norm_add: {
    name: 'Add, relative',
    about: "adds its direction, scaled to the token's own size",
    parameters: ['strength'],
  },
};

export const operationNames = Object.keys(operations) as Operation[];

const START: Record<Operation, { [Name in Parameter]?: number }> = {
  add: { strength: 10 },
  clamp: { value: 0 },
  clamp_range: { min: 0, max: 10 },
  multiply: { value: 0 },
  ablate: {},
  ablate_direction: {},
  orthogonal: { strength: 0 },
  norm_add: { strength: 0.3 },
};

/** The feature under an operation, with the numbers that it takes and no others. Another operation's are in other units. */
export function withOperation<F extends SteeredFeature>(feature: F, op: Operation): F {
  const isSame = (feature.op ?? 'add') === op;
  const { strength: _s, value: _v, min: _n, max: _x, ...rest } = feature;
  const numbers = operations[op].parameters.map(
    (name) => [name, (isSame ? feature[name] : null) ?? START[op][name]] as const,
  );
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
      return `relative ${number(strength)}`;
  }
}
