/** What the server is and does: health, memory, queue, the request log, its settings. */
import { queryOf, request } from './client.ts';
import type { Health, LoggedRequest, Page, ServerConfig, ServerSettings, SystemState } from './types.ts';

const HEALTH_TIMEOUT_MS = 4_000;

export function getHealth(signal?: AbortSignal): Promise<Health> {
  return request('/api/health', { timeoutMs: HEALTH_TIMEOUT_MS, signal });
}

export function getSystem(signal?: AbortSignal): Promise<SystemState> {
  return request('/api/system', { signal });
}

export interface RequestLogQuery {
  skip?: number;
  limit?: number;
  model?: string;
  failed?: boolean;
}

export function listRequests(query: RequestLogQuery = {}, signal?: AbortSignal): Promise<Page<LoggedRequest>> {
  return request(`/api/requests${queryOf({ ...query })}`, { signal });
}

export function clearRequests(): Promise<{ deleted: number }> {
  return request('/api/requests', { method: 'DELETE' });
}

export function getConfig(signal?: AbortSignal): Promise<ServerConfig> {
  return request('/api/config', { signal });
}

export function changeConfig(settings: Partial<ServerSettings>): Promise<ServerConfig> {
  return request('/api/config', { method: 'PATCH', body: settings });
}
