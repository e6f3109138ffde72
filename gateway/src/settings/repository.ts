// Settings that are changed while the server runs; those of a deployment are environment variables.
import { cached } from '../storage/cached.ts';
import type { DatabaseClient } from '../storage/database.ts';
import type { Prisma } from '../storage/generated/client.ts';
import { defaults, settings } from './schemas.ts';
import type { Settings, SettingsChange } from './schemas.ts';

export type SettingsRepository = ReturnType<typeof settingsRepository>;

export function settingsRepository(db: DatabaseClient) {
  const all = cached(1_000, async (): Promise<Settings> => {
    const rows = await db.serverSetting.findMany({ where: { key: { in: Object.keys(defaults) } } });
    const stored = Object.fromEntries(rows.map(({ key, value }) => [key, value]));
    const parsed = settings.safeParse({ ...defaults, ...stored });
    return parsed.success ? parsed.data : defaults;
  });
  return {
    get: all.get,
    async update(change: SettingsChange): Promise<Settings> {
      const entries = Object.entries(change).filter(([, value]) => value !== undefined);
      await db.$transaction(
        entries.map(([key, value]) => {
          const data = { value: value as Prisma.InputJsonValue };
          return db.serverSetting.upsert({ where: { key }, create: { key, ...data }, update: data });
        }),
      );
      all.invalidate();
      return all.get();
    },
  };
}
