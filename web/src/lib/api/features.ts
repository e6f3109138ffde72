/** Features of an SAE: found by label or index, one in detail, their labels. */
import { path, queryOf, request } from './client.ts';
import type { FeatureDetail, FeatureSummary, Page } from './types.ts';

export interface FeatureQuery {
  search?: string;
  skip?: number;
  limit?: number;
  /** Only those with a measured strength. */
  suggested?: boolean;
}

export function listFeatures(
  saeId: string,
  { search = '', skip = 0, limit = 50, suggested = false }: FeatureQuery = {},
  signal?: AbortSignal,
): Promise<Page<FeatureSummary>> {
  return request(
    path`/api/saes/${saeId}/features` + queryOf({ skip, limit, search, ...(suggested && { suggested }) }),
    { signal },
  );
}

export function getFeature(saeId: string, index: number, signal?: AbortSignal): Promise<FeatureDetail> {
  return request(path`/api/saes/${saeId}/features/${index}`, { signal });
}

/** null takes the label away. */
export function setLabel(saeId: string, index: number, label: string | null): Promise<FeatureSummary> {
  return request(path`/api/saes/${saeId}/features/${index}/label`, { method: 'PUT', body: { label } });
}
