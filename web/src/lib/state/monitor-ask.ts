/** What is watched, as the address says it: `?sae=ID&features=3,7&top_k=8&request=ID`. Pure. */
import type { MonitorAsk } from '@millm/proto/live';

export const TOP_K = { min: 0, max: 64, initial: 8 };
const MOST_FEATURES = 16;

export interface Watched {
  saeId: string | null;
  features: number[];
  topK: number;
  requestId: string | null;
}

export function watchedFrom(query: Pick<URLSearchParams, 'get'>): Watched {
  const features = (query.get('features') ?? '').split(',').filter((text) => /^\d{1,9}$/.test(text));
  const unique = [...new Set(features.map(Number))].slice(0, MOST_FEATURES);
  const topK = query.get('top_k') ?? '';
  return {
    saeId: query.get('sae') || null,
    features: unique,
    topK: /^\d{1,3}$/.test(topK) ? Math.min(TOP_K.max, Number(topK)) : TOP_K.initial,
    requestId: query.get('request') || null,
  };
}

export function queryFor({ saeId, features, topK, requestId }: Watched): string {
  const parts = [
    saeId ? `sae=${encodeURIComponent(saeId)}` : '',
    features.length > 0 ? `features=${features.slice(0, MOST_FEATURES).join(',')}` : '',
    topK === TOP_K.initial ? '' : `top_k=${topK}`,
    requestId ? `request=${encodeURIComponent(requestId)}` : '',
  ].filter(Boolean);
  return parts.join('&');
}

export function askFor({ saeId, features, topK, requestId }: Watched): MonitorAsk {
  return { sae_id: saeId, features, top_k: topK, request_id: requestId };
}
