/** Models: what is here, what a repository would bring, and every step of their lives. */
import { path, request } from './client.ts';
import type { Model, ModelImport, ModelPreview, ModelRequest } from './types.ts';

/** A preview asks the hub, an unload waits for the engine to come to rest. */
const SLOW_MS = 60_000;

export function listModels(signal?: AbortSignal): Promise<Model[]> {
  return request('/api/models', { signal });
}

export function getModel(id: string, signal?: AbortSignal): Promise<Model> {
  return request(path`/api/models/${id}`, { signal });
}

export function previewModel(
  source: Pick<ModelRequest, 'repo_id' | 'revision' | 'hf_token'>,
  signal?: AbortSignal,
): Promise<ModelPreview> {
  return request('/api/models/preview', { method: 'POST', body: source, timeoutMs: SLOW_MS, signal });
}

export function downloadModel(source: ModelRequest): Promise<Model> {
  return request('/api/models', { method: 'POST', body: source, timeoutMs: SLOW_MS });
}

export function importModel(source: ModelImport): Promise<Model> {
  return request('/api/models/import', { method: 'POST', body: source, timeoutMs: SLOW_MS });
}

export function deleteModel(id: string): Promise<{ model_id: string; freed_bytes: number }> {
  return request(path`/api/models/${id}`, { method: 'DELETE', timeoutMs: SLOW_MS });
}

export type ModelAction = 'load' | 'unload' | 'cancel' | 'lock' | 'unlock';

export function actOnModel(id: string, action: ModelAction): Promise<Model> {
  return request(path`/api/models/${id}/${action}`, { method: 'POST', timeoutMs: SLOW_MS });
}
