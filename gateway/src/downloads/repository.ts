import { randomUUID } from 'node:crypto';
import type { DatabaseClient } from '../storage/database.ts';
import type { Download } from '../storage/generated/client.ts';
import type { Progress } from './progress.ts';

export type DownloadRow = Download;
export type DownloadRepository = ReturnType<typeof downloadRepository>;

/** What is downloaded; the same asked twice is one download. */
export interface Wanted {
  kind: 'model' | 'sae';
  repoId: string;
  revision: string | null;
  path: string | null;
}

export const keyOf = ({ kind, repoId, revision, path }: Wanted) =>
  [kind, repoId, revision ?? 'main', path ?? ''].join(' ');

export function downloadRepository(db: DatabaseClient) {
  return {
    list: (): Promise<DownloadRow[]> => db.download.findMany({ orderBy: { createdAt: 'desc' }, take: 500 }),
    find: (id: string): Promise<DownloadRow | null> => db.download.findUnique({ where: { id } }),

    /** The unique key decides between two that ask at once. */
    async ensure(wanted: Wanted): Promise<{ row: DownloadRow; isNew: boolean }> {
      const key = keyOf(wanted);
      const id = `dl_${randomUUID().replaceAll('-', '').slice(0, 16)}`;
      const { count } = await db.download.createMany({
        data: [{ id, key, ...wanted, state: 'queued' }],
        skipDuplicates: true,
      });
      return { row: await db.download.findUniqueOrThrow({ where: { key } }), isNew: count === 1 };
    },

    /** A change of state; bytes in between are not written. */
    async record(id: string, { state, bytesDone, bytesTotal, localPath, error }: Progress): Promise<void> {
      await db.download.updateMany({
        where: { id },
        data: {
          state,
          bytesDone: BigInt(Math.max(0, Math.floor(bytesDone))),
          bytesTotal: bytesTotal > 0 ? BigInt(Math.floor(bytesTotal)) : null,
          localPath,
          error: error?.message ?? null,
          errorCode: error?.code ?? null,
        },
      });
    },

    remove: async (id: string): Promise<void> => void (await db.download.deleteMany({ where: { id } })),
  };
}
