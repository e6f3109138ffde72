// The desired state: what should be loaded, attached and active. One row, cached for a moment, written by few.
import { Prisma } from './storage/generated/client.ts';
import type { DatabaseClient } from './storage/database.ts';
import { cached } from './storage/cached.ts';
import { steering as steeringSchema } from './steering/schemas.ts';
import type { Steering } from './steering/schemas.ts';

export interface DesiredRow {
  modelId: string | null;
  saeIds: string[];
  steering: Steering | null;
  steeringEnabled: boolean;
  activeProfileId: string | null;
}

export type DesiredRepository = ReturnType<typeof desiredRepository>;

const nothing: DesiredRow = {
  modelId: null,
  saeIds: [],
  steering: null,
  steeringEnabled: true,
  activeProfileId: null,
};

export function desiredRepository(db: DatabaseClient) {
  const row = cached(1_000, async (): Promise<DesiredRow | null> => {
    const found = await db.desiredState.findUnique({ where: { id: 1 } });
    if (!found) return null;
    const { modelId, saeIds, steeringEnabled, activeProfileId } = found;
    const steering = found.steering === null ? null : steeringSchema.parse(found.steering);
    return { modelId, saeIds, steering, steeringEnabled, activeProfileId };
  });

  const listeners = new Set<() => void>();

  return {
    /** null = never set. */
    read: row.get,
    /** Calls after every write of this gateway. */
    onUpdate: (listener: () => void) => void listeners.add(listener),
    /** Somebody else wrote the row. */
    invalidate: row.invalidate,
    /** This gateway wrote the row, in a transaction with something else. */
    written(): void {
      row.invalidate();
      listeners.forEach((listener) => listener());
    },
    get: async () => (await row.get()) ?? nothing,
    async update(change: Partial<DesiredRow>): Promise<void> {
      const { steering, ...rest } = change;
      const json = steering === null ? Prisma.DbNull : (steering as Prisma.InputJsonValue | undefined);
      const data = { ...rest, ...(json !== undefined && { steering: json }) };
      await db.desiredState.upsert({ where: { id: 1 }, create: { id: 1, ...data }, update: data });
      row.invalidate();
      listeners.forEach((listener) => listener());
    },
  };
}
