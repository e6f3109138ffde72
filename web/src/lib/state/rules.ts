/** When and where a feature is steered, as a person edits it and as it is told in few words. Pure. */
import type { Condition, Scope } from './feature-list.svelte.ts';

export type Bound = 'above' | 'below' | 'between';

export const ROLES = ['system', 'user', 'assistant', 'tool'];
export const modes = {
  token: 'at this token',
  latched: 'at this or an earlier token',
  prompt: 'anywhere in the prompt',
} satisfies Record<NonNullable<Condition['mode']>, string>;
export const phases = {
  both: 'prompt and answer',
  prompt: 'the prompt alone',
  generated: 'the answer alone',
} satisfies Record<NonNullable<Scope['phase']>, string>;

export const boundOf = ({ above, below }: Condition): Bound =>
  above != null && below != null ? 'between' : below != null ? 'below' : 'above';

/** The numbers it has are kept as far as the new bound has room for them. */
export function withBound({ above, below, ...rest }: Condition, bound: Bound): Condition {
  const low = above ?? (bound === 'between' ? 0 : (below ?? 0));
  const high = below ?? (bound === 'between' ? low + 1 : low);
  return { ...rest, ...(bound !== 'below' && { above: low }), ...(bound !== 'above' && { below: high }) };
}

/** Only what differs from "everywhere" is kept; null when nothing does. */
export function withScope(scope: Scope | null, change: Partial<Scope>): Scope | null {
  const kept = Object.entries({ ...scope, ...change }).filter(
    ([key, value]) =>
      value != null &&
      !(key === 'phase' && value === 'both') &&
      !(key === 'special_tokens' && value === true) &&
      !(key === 'roles' && ROLES.every((role) => (value as string[]).includes(role))),
  );
  return kept.length > 0 ? (Object.fromEntries(kept) as Scope) : null;
}

/** `when #3 is above 2, the answer alone`; empty where it acts always and everywhere. */
export function describeRule({ when, scope }: { when?: Condition | null; scope?: Scope | null }): string {
  const parts: string[] = [];
  if (when) {
    const of = when.sae_id ? ` of ${when.sae_id}` : '';
    const bounds = [when.above != null && `above ${when.above}`, when.below != null && `below ${when.below}`];
    const mode = when.mode && when.mode !== 'token' ? ` ${modes[when.mode]}` : '';
    parts.push(`when #${when.index}${of} is ${bounds.filter(Boolean).join(' and ')}${mode}`);
  }
  if (scope?.phase && scope.phase !== 'both') parts.push(phases[scope.phase]);
  if (scope?.roles) parts.push(`words of ${scope.roles.join(', ')}`);
  if (scope?.positions) parts.push(`positions ${scope.positions.join(' to ')}`);
  if (scope?.special_tokens === false) parts.push('no special tokens');
  return parts.join(', ');
}
