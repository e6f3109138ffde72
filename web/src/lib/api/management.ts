/** The calls of `/api`, one function each. */
import { request } from './client.ts';
import type {
  FeatureDetail,
  FeatureSummary,
  Health,
  Model,
  Page,
  Sae,
  SteeringConfiguration,
  SystemState,
} from './types.ts';

const HEALTH_TIMEOUT_MS = 4_000;

export function getHealth(signal?: AbortSignal): Promise<Health> {
  return request('/api/health', { timeoutMs: HEALTH_TIMEOUT_MS, ...(signal && { signal }) });
}

export function listModels(signal?: AbortSignal): Promise<Model[]> {
  return request('/api/models', signal && { signal });
}

export function listSaes(signal?: AbortSignal): Promise<Sae[]> {
  return request('/api/saes', signal && { signal });
}

export function getSystem(signal?: AbortSignal): Promise<SystemState> {
  return request('/api/system', signal && { signal });
}

export function getSteering(signal?: AbortSignal): Promise<SteeringConfiguration | null> {
  return request('/api/steering', signal && { signal });
}

export interface FeatureQuery {
  search?: string;
  skip?: number;
  limit?: number;
}

export function listFeatures(
  saeId: string,
  { search = '', skip = 0, limit = 50 }: FeatureQuery = {},
  signal?: AbortSignal,
): Promise<Page<FeatureSummary>> {
  const query = new URLSearchParams({ skip: String(skip), limit: String(limit) });
  if (search) query.set('search', search);
  return request(`/api/saes/${encodeURIComponent(saeId)}/features?${query}`, signal && { signal });
}

export function getFeature(saeId: string, index: number, signal?: AbortSignal): Promise<FeatureDetail> {
  return request(`/api/saes/${encodeURIComponent(saeId)}/features/${index}`, signal && { signal });
}
