/** API keys of the server's database. Their secrets are shown once and stored nowhere. */
import { path, request } from './client.ts';
import type { ApiKey, CreatedApiKey, NewApiKey } from './types.ts';

export function listKeys(signal?: AbortSignal): Promise<ApiKey[]> {
  return request('/api/keys', { signal });
}

export function createKey(key: NewApiKey): Promise<CreatedApiKey> {
  return request('/api/keys', { method: 'POST', body: key });
}

export function renameKey(id: string, name: string): Promise<ApiKey> {
  return request(path`/api/keys/${id}`, { method: 'PATCH', body: { name } });
}

/** At once, for every gateway; it cannot be taken back. */
export function revokeKey(id: string): Promise<ApiKey> {
  return request(path`/api/keys/${id}`, { method: 'DELETE' });
}
