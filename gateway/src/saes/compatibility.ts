// Whether an SAE fits the loaded model at a place, and why not. Pure.
import type { LoadedModel } from '../inference/contract.ts';

export interface SaeFacts {
  id: string;
  isHere: boolean;
  dIn: number | null;
  layer: number | null;
  modelId: string | null;
}

export interface Compatibility {
  compatible: boolean;
  errors: string[];
  warnings: string[];
}

export function compatibility(sae: SaeFacts, model: LoadedModel | null, layer: number | null): Compatibility {
  const errors: string[] = [];
  const warnings: string[] = [];
  if (!sae.isHere) errors.push(`The SAE "${sae.id}" is not downloaded yet.`);
  if (!model) return { compatible: false, errors: [...errors, 'No model is loaded.'], warnings };
  if (sae.dIn !== null && sae.dIn !== model.hidden_size) {
    errors.push(`The SAE reads vectors of width ${sae.dIn}; "${model.model_id}" has width ${model.hidden_size}.`);
  }
  const place = layer ?? sae.layer;
  if (place !== null && (place < 0 || place >= model.layers)) {
    errors.push(`There is no block ${place}: "${model.model_id}" has blocks 0 to ${model.layers - 1}.`);
  }
  if (layer !== null && sae.layer !== null && layer !== sae.layer) {
    warnings.push(`The SAE was trained at block ${sae.layer}, not ${layer}.`);
  }
  if (sae.modelId !== null && sae.modelId !== model.model_id) {
    warnings.push(`The SAE belongs to the model "${sae.modelId}"; "${model.model_id}" is loaded.`);
  }
  if (sae.dIn === null) warnings.push('The width of the SAE is not known before it is read.');
  return { compatible: errors.length === 0, errors, warnings };
}
