// Strengths that somebody measured for features of an SAE, as its own files state them.
import { z } from 'zod';
import type { SaeView } from '../saes/service.ts';

const measured = z.array(z.object({ index: z.int(), strength: z.number() }));

/** index → strength; what the sidecar says of an attached SAE, else what it said when it was last seen. */
export function suggestedStrengths({ attached, row }: Pick<SaeView, 'attached' | 'row'>): ReadonlyMap<number, number> {
  const info = row.info as { strengths?: unknown } | null;
  const stated = measured.safeParse(attached?.strengths ?? info?.strengths).data ?? [];
  return new Map(stated.map(({ index, strength }) => [index, strength]));
}
