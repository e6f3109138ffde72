import type { DatabaseClient } from '../storage/database.ts';
import type { ProfileSteering } from '../steering/resolve.ts';
import { steeringFeature } from '../steering/schemas.ts';

export interface StoredProfile extends ProfileSteering {
  id: string;
  modelName: string | null;
}

export type ProfileRepository = ReturnType<typeof profileRepository>;

export function profileRepository(db: DatabaseClient) {
  return {
    /** By id or by name; an id wins. */
    async find(nameOrId: string): Promise<StoredProfile | null> {
      const rows = await db.profile.findMany({
        where: { OR: [{ id: nameOrId }, { name: nameOrId }] },
        include: { features: { orderBy: { position: 'asc' } } },
      });
      const row = rows.find(({ id }) => id === nameOrId) ?? rows[0];
      if (!row) return null;
      return {
        id: row.id,
        name: row.name,
        modelName: row.modelName,
        saeId: row.saeId,
        intensity: row.intensity,
        features: row.features.map(({ index, op, strength, saeId, options }) =>
          steeringFeature.parse({ ...(options as object | null), index, op, strength, sae_id: saeId }),
        ),
      };
    },
  };
}
