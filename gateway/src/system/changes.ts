// Two states of the sidecar → what happened between them. Pure.
import type { AttachedSae, LoadedModel, RuntimeState } from '../inference/contract.ts';

export type RuntimeChange =
  | { type: 'model:loaded'; model: LoadedModel }
  | { type: 'model:unloaded'; modelId: string }
  | { type: 'sae:attached'; sae: AttachedSae }
  | { type: 'sae:detached'; saeId: string };

/** A state as it was before anything was loaded: what is found at first was not there before. */
export type Loaded = Pick<RuntimeState, 'model' | 'saes'>;
export const nothingLoaded: Loaded = { model: null, saes: [] };

export function changesBetween(before: Loaded, after: Loaded): RuntimeChange[] {
  const changes: RuntimeChange[] = [];
  const isSameModel = modelKey(before.model) === modelKey(after.model);
  const isAt = (saes: readonly AttachedSae[], sae: AttachedSae) => saes.some((other) => saeKey(other) === saeKey(sae));
  // An SAE that is attached to another model now was detached from the old one.
  const kept = (sae: AttachedSae) => isSameModel && isAt(after.saes, sae);

  for (const sae of before.saes) if (!kept(sae)) changes.push({ type: 'sae:detached', saeId: sae.sae_id });
  if (!isSameModel) {
    if (before.model) changes.push({ type: 'model:unloaded', modelId: before.model.model_id });
    if (after.model) changes.push({ type: 'model:loaded', model: after.model });
  }
  for (const sae of after.saes) {
    if (!isSameModel || !isAt(before.saes, sae)) changes.push({ type: 'sae:attached', sae });
  }
  return changes;
}

const modelKey = (model: LoadedModel | null) =>
  model && `${model.model_id}\n${model.path}\n${model.quantization ?? ''}`;
const saeKey = ({ sae_id, path, hook, layer }: AttachedSae) => `${sae_id}\n${path}\n${hook}\n${layer}`;
