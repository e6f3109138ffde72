import { AppError } from '../errors.ts';
import type { DesiredRepository } from '../desired.ts';
import type { AttachedSae } from '../inference/contract.ts';
import type { Runtime } from '../inference/runtime.ts';
import type { ModelRepository } from '../models/repository.ts';
import type { SaeRepository, SaeRow } from './repository.ts';

export interface SaeView {
  row: SaeRow;
  attached: AttachedSae | null;
  modelName: string | null;
  error: string | null;
}

export interface SaeServiceOptions {
  saes: SaeRepository;
  models: ModelRepository;
  desired: DesiredRepository;
  runtime: Runtime;
}

export interface Placement {
  layer?: number | undefined;
  hook?: string | undefined;
}

export type SaeService = ReturnType<typeof saeService>;

export function saeService({ saes, models, desired, runtime }: SaeServiceOptions) {
  const attachedNow = (id: string) => runtime.state()?.saes.find((sae) => sae.sae_id === id) ?? null;

  async function view(row: SaeRow): Promise<SaeView> {
    const model = row.modelId === null ? null : await models.find(row.modelId);
    const attached = attachedNow(row.id);
    const error = attached ? null : (runtime.saeError(row.id)?.message ?? row.error);
    return { row, attached, modelName: model?.name ?? null, error };
  }

  async function find(id: string): Promise<SaeRow> {
    const row = await saes.find(id);
    if (!row) throw new AppError('SAE_NOT_FOUND', `There is no SAE "${id}".`);
    return row;
  }

  return {
    list: async () => Promise.all((await saes.list()).map(view)),
    get: async (id: string) => view(await find(id)),

    async attach(id: string, { layer, hook }: Placement): Promise<SaeView> {
      const row = await find(id);
      if (row.path === null) throw new AppError('CONFLICT', `The SAE "${id}" is not downloaded yet.`);
      if (!runtime.state()?.model) throw new AppError('MODEL_NOT_LOADED', 'Load a model before attaching an SAE.');
      if (layer !== undefined || hook !== undefined) {
        await saes.update(id, {
          overrides: { ...(layer !== undefined && { layer }), ...(hook !== undefined && { hook }) },
        });
      }
      const { saeIds } = await desired.get();
      if (!saeIds.includes(id)) await desired.update({ saeIds: [...saeIds, id] });
      runtime.forgetFailures(`sae:${id}`);
      await runtime.kick();
      const refused = runtime.saeError(id);
      if (refused) {
        await desired.update({ saeIds });
        throw refused;
      }
      return view(await find(id));
    },

    async detach(id: string): Promise<SaeView> {
      const row = await find(id);
      const { saeIds } = await desired.get();
      if (!saeIds.includes(id) && !attachedNow(id)) {
        throw new AppError('SAE_NOT_ATTACHED', `The SAE "${id}" is not attached.`);
      }
      await desired.update({ saeIds: saeIds.filter((known) => known !== id) });
      await runtime.kick();
      return view(row);
    },
  };
}
