import { cached } from '../storage/cached.ts';
import type { DatabaseClient } from '../storage/database.ts';
import type { Model, Prisma } from '../storage/generated/client.ts';

export type ModelRow = Model;
export type ModelRepository = ReturnType<typeof modelRepository>;

export interface NewModel {
  name: string;
  repoId: string;
  path: string | null;
  aliases: string[];
}

/** Ids have no slash, so that they fit in a path segment. */
export const slug = (name: string) => name.replaceAll('/', '--');

export function modelRepository(db: DatabaseClient) {
  const all = cached(1_000, () => db.model.findMany({ orderBy: { createdAt: 'asc' } }));
  return {
    list: all.get,
    async find(id: string): Promise<ModelRow | null> {
      return (await all.get()).find((model) => model.id === id) ?? null;
    },
    /** By name, repository or alias, whatever the case; an exact name wins. */
    async findByName(name: string): Promise<ModelRow | null> {
      const models = await all.get();
      const wanted = name.toLowerCase();
      const answers = (model: ModelRow) =>
        [model.name, model.id, ...model.aliases].some((known) => known.toLowerCase() === wanted);
      return models.find((model) => model.name === name) ?? models.find(answers) ?? null;
    },
    async upsert(model: NewModel): Promise<ModelRow> {
      const row = await db.model.upsert({
        where: { name: model.name },
        create: { id: slug(model.name), ...model },
        update: { repoId: model.repoId, path: model.path, aliases: model.aliases },
      });
      all.invalidate();
      return row;
    },
    /** Two that ask at once for one name get one row. */
    async create(model: Omit<Prisma.ModelCreateManyInput, 'id'>): Promise<ModelRow> {
      const id = slug(model.name);
      await db.model.createMany({ data: [{ id, ...model }], skipDuplicates: true });
      all.invalidate();
      return db.model.findUniqueOrThrow({ where: { id } });
    },
    async remove(id: string): Promise<void> {
      await db.model.deleteMany({ where: { id } });
      all.invalidate();
    },
    async update(id: string, change: Parameters<DatabaseClient['model']['update']>[0]['data']): Promise<void> {
      await db.model.update({ where: { id }, data: change });
      all.invalidate();
    },
  };
}
