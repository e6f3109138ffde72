/** SAEs: what is here, what a repository holds, and where they are attached. */
import { path, queryOf, request } from './client.ts';
import type { Compatibility, Page, RegistryEntry, Sae, SaeImport, SaePlace, SaePreview, SaeRequest } from './types.ts';

const SLOW_MS = 60_000;

export function listSaes(signal?: AbortSignal): Promise<Sae[]> {
  return request('/api/saes', { signal });
}

export function previewSaes(
  source: Pick<SaeRequest, 'revision' | 'hf_token'> & { repo_id: string },
  signal?: AbortSignal,
): Promise<SaePreview> {
  return request('/api/saes/preview', { method: 'POST', body: source, timeoutMs: SLOW_MS, signal });
}

/** The published SAEs that SAELens knows of; a release and an id are what a download takes. */
export function searchRegistry(
  query: { search?: string; skip?: number; limit?: number } = {},
  signal?: AbortSignal,
): Promise<Page<RegistryEntry>> {
  return request(`/api/saes/registry${queryOf(query)}`, { timeoutMs: SLOW_MS, signal });
}

export function downloadSae(source: SaeRequest): Promise<Sae> {
  return request('/api/saes', { method: 'POST', body: source, timeoutMs: SLOW_MS });
}

export function importSae(source: SaeImport): Promise<Sae> {
  return request('/api/saes/import', { method: 'POST', body: source, timeoutMs: SLOW_MS });
}

export function deleteSae(id: string): Promise<{ sae_id: string; freed_bytes: number }> {
  return request(path`/api/saes/${id}`, { method: 'DELETE', timeoutMs: SLOW_MS });
}

/** Whether it fits the loaded model; at its own layer, or at another. */
export function checkSae(id: string, layer?: number, signal?: AbortSignal): Promise<Compatibility> {
  return request(path`/api/saes/${id}/compatibility` + queryOf({ layer }), { signal });
}

export function attachSae(id: string, place: SaePlace = {}): Promise<Sae> {
  return request(path`/api/saes/${id}/attach`, { method: 'POST', body: place, timeoutMs: SLOW_MS });
}

export function detachSae(id: string): Promise<Sae> {
  return request(path`/api/saes/${id}/detach`, { method: 'POST', timeoutMs: SLOW_MS });
}
