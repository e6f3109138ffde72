import { randomUUID } from 'node:crypto';
import type { DatabaseClient } from '../storage/database.ts';
import type { ApiKey } from '../storage/generated/client.ts';

export type ApiKeyRow = ApiKey;
export type KeyRepository = ReturnType<typeof keyRepository>;

export interface NewApiKey {
  name: string;
  prefix: string;
  hash: string;
  scopes: string[];
  expiresAt: Date | null;
}

export function keyRepository(db: DatabaseClient) {
  return {
    list: (): Promise<ApiKeyRow[]> => db.apiKey.findMany({ orderBy: { createdAt: 'desc' } }),
    /** Those that were not revoked; an expired one is the reader's to refuse. */
    live: (): Promise<ApiKeyRow[]> => db.apiKey.findMany({ where: { revokedAt: null } }),
    find: (id: string): Promise<ApiKeyRow | null> => db.apiKey.findUnique({ where: { id } }),

    create(key: NewApiKey): Promise<ApiKeyRow> {
      const id = `key_${randomUUID().replaceAll('-', '').slice(0, 16)}`;
      return db.apiKey.create({ data: { id, ...key } });
    },

    rename: (id: string, name: string): Promise<ApiKeyRow> => db.apiKey.update({ where: { id }, data: { name } }),
    async revoke(id: string): Promise<ApiKeyRow> {
      await db.apiKey.updateMany({ where: { id, revokedAt: null }, data: { revokedAt: new Date() } });
      return db.apiKey.findUniqueOrThrow({ where: { id } });
    },
    used: async (id: string, at: Date): Promise<void> =>
      void (await db.apiKey.updateMany({ where: { id }, data: { lastUsedAt: at } })),
  };
}
