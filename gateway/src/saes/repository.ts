import { cached } from '../storage/cached.ts';
import type { DatabaseClient } from '../storage/database.ts';
import type { Prisma, Sae } from '../storage/generated/client.ts';

export type SaeRow = Sae;
export type SaeRepository = ReturnType<typeof saeRepository>;

export interface NewSae {
  id: string;
  path: string | null;
  modelId: string | null;
}

export function saeRepository(db: DatabaseClient) {
  const all = cached(1_000, () => db.sae.findMany({ orderBy: { createdAt: 'asc' } }));
  return {
    list: all.get,
    async find(id: string): Promise<SaeRow | null> {
      return (await all.get()).find((sae) => sae.id === id) ?? null;
    },
    async upsert({ id, path, modelId }: NewSae): Promise<SaeRow> {
      const row = await db.sae.upsert({
        where: { id },
        create: { id, path, modelId },
        update: { path, modelId },
      });
      all.invalidate();
      return row;
    },
    /** Two that ask at once for one id get one row. */
    async create(sae: Prisma.SaeCreateManyInput): Promise<SaeRow> {
      await db.sae.createMany({ data: [sae], skipDuplicates: true });
      all.invalidate();
      return db.sae.findUniqueOrThrow({ where: { id: sae.id } });
    },
    async remove(id: string): Promise<void> {
      await db.sae.deleteMany({ where: { id } });
      all.invalidate();
    },
    async update(id: string, change: Parameters<DatabaseClient['sae']['update']>[0]['data']): Promise<void> {
      await db.sae.update({ where: { id }, data: change });
      all.invalidate();
    },
  };
}
