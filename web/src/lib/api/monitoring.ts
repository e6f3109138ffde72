/** What is watched, and what was seen. The live stream is src/lib/live. */
import { queryOf, request } from './client.ts';
import type { Monitor, MonitorChange, MonitorRecord, MonitorStatistics, Page } from './types.ts';

export function getMonitor(signal?: AbortSignal): Promise<Monitor> {
  return request('/api/monitor', { signal });
}

export function changeMonitor(change: MonitorChange): Promise<Monitor> {
  return request('/api/monitor', { method: 'PUT', body: change });
}

export interface HistoryQuery {
  request_id?: string;
  sae_id?: string;
  skip?: number;
  limit?: number;
}

export function listHistory(query: HistoryQuery = {}, signal?: AbortSignal): Promise<Page<MonitorRecord>> {
  return request(`/api/monitor/history${queryOf({ ...query })}`, { signal });
}

export function clearHistory(): Promise<Monitor> {
  return request('/api/monitor/history', { method: 'DELETE' });
}

export interface StatisticsQuery {
  sae_id?: string;
  /** Indices separated by commas. */
  features?: string;
  sort?: 'mean' | 'max' | 'active_ratio' | 'count';
  limit?: number;
}

export function getStatistics(query: StatisticsQuery = {}, signal?: AbortSignal): Promise<MonitorStatistics> {
  return request(`/api/monitor/statistics${queryOf({ ...query })}`, { signal });
}
