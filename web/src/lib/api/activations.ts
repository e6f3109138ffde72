/** What fires on a text, without generating. */
import { request } from './client.ts';
import type { ActivationEntry, ActivationsRequest, Contrast, ContrastRequest } from './types.ts';

const READING_MS = 120_000;

export function readActivations(
  body: ActivationsRequest,
  signal?: AbortSignal,
): Promise<{ sae_id: string; tokens: ActivationEntry[] }> {
  return request('/api/activations', { method: 'POST', body, timeoutMs: READING_MS, signal });
}

/** The features that tell the texts of `a` from those of `b`, the most telling first. */
export function contrastTexts(body: ContrastRequest, signal?: AbortSignal): Promise<Contrast> {
  return request('/api/activations/contrast', { method: 'POST', body, timeoutMs: READING_MS, signal });
}
