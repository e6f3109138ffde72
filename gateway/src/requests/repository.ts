import type { DatabaseClient } from '../storage/database.ts';
import type { Prisma, RequestLog } from '../storage/generated/client.ts';

export type RequestRow = RequestLog;
export type NewRequest = Prisma.RequestLogCreateManyInput;
export type RequestRepository = ReturnType<typeof requestRepository>;

export interface RequestQuery {
  skip: number;
  limit: number;
  model?: string | undefined;
  failed?: boolean | undefined;
}

export function requestRepository(db: DatabaseClient) {
  return {
    add: async (rows: NewRequest[]): Promise<void> =>
      void (await db.requestLog.createMany({ data: rows, skipDuplicates: true })),

    async page({ skip, limit, model, failed }: RequestQuery): Promise<{ rows: RequestRow[]; total: number }> {
      const where: Prisma.RequestLogWhereInput = {
        ...(model !== undefined && { modelName: model }),
        ...(failed !== undefined && { status: failed ? { gte: 400 } : { lt: 400 } }),
      };
      const [rows, total] = await Promise.all([
        db.requestLog.findMany({ where, orderBy: { at: 'desc' }, skip, take: limit }),
        db.requestLog.count({ where }),
      ]);
      return { rows, total };
    },

    /** Keeps the newest rows, and none older than the time. */
    async trim(maxRows: number, before: Date): Promise<number> {
      const [old, over] = await db.$transaction([
        db.requestLog.deleteMany({ where: { at: { lt: before } } }),
        db.$executeRaw`DELETE FROM request_log WHERE id IN (SELECT id FROM request_log ORDER BY at DESC OFFSET ${maxRows})`,
      ]);
      return old.count + over;
    },

    clear: async (): Promise<number> => (await db.requestLog.deleteMany({})).count,
  };
}
