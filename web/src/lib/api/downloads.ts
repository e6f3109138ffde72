/** Files on their way from the hub. */
import { path, request } from './client.ts';
import type { Download } from './types.ts';

export function listDownloads(signal?: AbortSignal): Promise<Download[]> {
  return request('/api/downloads', { signal });
}

export function cancelDownload(id: string): Promise<Download> {
  return request(path`/api/downloads/${id}/cancel`, { method: 'POST' });
}

/** Continues where it stopped. */
export function retryDownload(id: string, hfToken?: string): Promise<Download> {
  return request(path`/api/downloads/${id}/retry`, { method: 'POST', body: hfToken ? { hf_token: hfToken } : {} });
}
