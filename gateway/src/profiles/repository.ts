// Profiles and their features. A profile is written with its features in one transaction, or not at all.
import { randomBytes } from 'node:crypto';
import { cached } from '../storage/cached.ts';
import { Prisma } from '../storage/generated/client.ts';
import type { DatabaseClient } from '../storage/database.ts';
import type { ProfileSteering } from '../steering/resolve.ts';
import type { Steering } from '../steering/schemas.ts';
import type { Format, Target } from './exchange/draft.ts';

/** What steering needs of a profile. */
export interface StoredProfile extends ProfileSteering {
  id: string;
  modelName: string | null;
}

export interface StoredTarget extends Target {
  /** The SAE of ours that it is; null = none yet. */
  bound: string | null;
}

export interface RecordFeature {
  index: number;
  op: string;
  strength: number | null;
  label: string | null;
  options: Record<string, unknown> | null;
  saeId: string | null;
  layer: number | null;
}

export interface ProfileSummary {
  id: string;
  name: string;
  description: string | null;
  format: Format;
  modelName: string | null;
  saeId: string | null;
  intensity: number;
  intensityMin: number | null;
  intensityMax: number | null;
  targets: StoredTarget[];
  warnings: string[];
  rung: number | null;
  acknowledged: boolean;
  edited: boolean;
  featureCount: number;
  createdAt: Date;
  updatedAt: Date;
}

export interface ProfileRecord extends ProfileSummary {
  document: string | null;
  features: RecordFeature[];
}

export type NewProfile = Omit<
  ProfileRecord,
  'id' | 'createdAt' | 'updatedAt' | 'featureCount' | 'acknowledged' | 'edited'
>;
export type ProfileChange = Partial<Omit<ProfileRecord, 'id' | 'createdAt' | 'updatedAt' | 'featureCount'>>;
export type ProfileRepository = ReturnType<typeof profileRepository>;

/** A name that somebody else has. */
export class NameTaken extends Error {}

const newId = () => `prof_${randomBytes(6).toString('hex')}`;
const withFeatures = { features: { orderBy: { position: 'asc' as const } } };

export function profileRepository(db: DatabaseClient) {
  const all = cached(1_000, async () => {
    const rows = await db.profile.findMany({ orderBy: { createdAt: 'asc' }, omit: { document: true } });
    return rows.map(toSummary);
  });

  return {
    list: all.get,

    /** By id or by name; an id wins. */
    async find(nameOrId: string): Promise<ProfileRecord | null> {
      const rows = await db.profile.findMany({
        where: { OR: [{ id: nameOrId }, { name: nameOrId }] },
        include: withFeatures,
      });
      const row = rows.find(({ id }) => id === nameOrId) ?? rows[0];
      return row ? toRecord(row) : null;
    },

    async get(id: string): Promise<ProfileRecord | null> {
      const row = await db.profile.findUnique({ where: { id }, include: withFeatures });
      return row ? toRecord(row) : null;
    },

    async create({ features, ...profile }: NewProfile): Promise<ProfileRecord> {
      const row = await unique(() =>
        db.profile.create({
          data: {
            id: newId(),
            ...profile,
            targets: profile.targets as unknown as Prisma.InputJsonValue,
            featureCount: features.length,
            features: { createMany: { data: features.map(toRow) } },
          },
          include: withFeatures,
        }),
      );
      all.invalidate();
      return toRecord(row);
    },

    /** `before` is as it was read; with `active`, what the active configuration becomes in the same transaction. null: gone. */
    async update(
      before: ProfileRecord,
      { features, targets, ...change }: ProfileChange,
      active?: Steering,
    ): Promise<ProfileRecord | null> {
      const { id } = before;
      const data = { ...change, ...(targets && { targets: targets as unknown as Prisma.InputJsonValue }) };
      const wanted = (steering: Steering) =>
        db.desiredState.updateMany({
          where: { activeProfileId: id },
          data: { steering: steering as Prisma.InputJsonValue },
        });
      const written = await orGone(async () => {
        if (features === undefined) {
          // One statement where an update that includes features takes five.
          const write = db.profile.updateManyAndReturn({ where: { id }, data });
          const [row] = active ? (await db.$transaction([write, wanted(active)]))[0] : await write;
          return row ? { ...toSummary(row), document: row.document, features: before.features } : null;
        }
        const rewritten = { deleteMany: {}, createMany: { data: features.map(toRow) } };
        const write = db.profile.update({
          where: { id },
          data: { ...data, featureCount: features.length, features: rewritten },
          include: withFeatures,
        });
        return toRecord(active ? (await db.$transaction([write, wanted(active)]))[0] : await write);
      });
      all.invalidate();
      return written;
    },

    /** Deleting the active profile empties the active configuration with it. */
    async remove(id: string): Promise<void> {
      await db.$transaction([
        db.desiredState.updateMany({
          where: { activeProfileId: id },
          data: { activeProfileId: null, steering: Prisma.DbNull },
        }),
        db.profile.deleteMany({ where: { id } }),
      ]);
      all.invalidate();
    },
  };
}

async function orGone<T>(action: () => Promise<T>): Promise<T | null> {
  try {
    return await unique(action);
  } catch (error) {
    if (error instanceof Prisma.PrismaClientKnownRequestError && error.code === 'P2025') return null;
    throw error;
  }
}

async function unique<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof Prisma.PrismaClientKnownRequestError && error.code === 'P2002') throw new NameTaken();
    throw error;
  }
}

function toRow({ options, ...feature }: RecordFeature, position: number) {
  return { ...feature, position, options: options === null ? Prisma.DbNull : (options as Prisma.InputJsonValue) };
}

type SummaryRow = Omit<Prisma.ProfileGetPayload<object>, 'document'>;

function toSummary(row: SummaryRow): ProfileSummary {
  return {
    ...row,
    format: row.format as Format,
    targets: row.targets as unknown as StoredTarget[],
    warnings: row.warnings as string[],
  };
}

function toRecord(row: Prisma.ProfileGetPayload<{ include: { features: true } }>): ProfileRecord {
  return {
    ...toSummary(row),
    document: row.document,
    features: row.features.map(({ profileId: _id, position: _position, options, ...feature }) => ({
      ...feature,
      options: options as Record<string, unknown> | null,
    })),
  };
}
