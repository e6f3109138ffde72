// The features of a running miStudio server, page by page, as the one document that its answers would be together.
import { z } from 'zod';
import { AppError } from '../errors.ts';

const mostBytes = 256 * 1024 * 1024;
const pageTimeoutMs = 30_000;

/** An SAE's features, or those of an extraction: each is asked for pages in its own words. */
const kinds = [
  { path: /\/api\/v1\/saes\/[^/]+\/features$/, from: 'skip', limit: 1_000 },
  { path: /\/api\/v1\/extractions\/[^/]+\/features$/, from: 'offset', limit: 100 },
] as const;

const page = z.looseObject({
  n_features: z.int().optional(),
  features: z.array(z.unknown()),
  total: z.int().optional(),
  pagination: z.looseObject({ has_more: z.boolean().optional(), total: z.int().optional() }).optional(),
});

/** Raises VALIDATION_ERROR for an address of something else, DOWNLOAD_FAILED for a server that does not answer so. */
export async function pullFeatures(address: string): Promise<{ n_features?: number; features: unknown[] }> {
  const url = new URL(address);
  const kind = kinds.find(({ path }) => path.test(url.pathname));
  if (!kind || !/^https?:$/.test(url.protocol)) {
    const wanted = 'http://…/api/v1/saes/{id}/features or …/api/v1/extractions/{id}/features';
    throw new AppError('VALIDATION_ERROR', `Expected the address of features on a miStudio server: ${wanted}.`, {
      param: 'from',
    });
  }
  const features: unknown[] = [];
  let n_features: number | undefined;
  let bytes = 0;
  for (;;) {
    url.searchParams.set(kind.from, String(features.length));
    url.searchParams.set('limit', String(kind.limit));
    const text = await fetchText(url);
    bytes += text.length;
    const read = page.safeParse(parsed(text));
    if (!read.success) throw failed(url, 'its answer holds no list of features');
    features.push(...read.data.features);
    n_features ??= read.data.n_features;
    const { pagination, total = pagination?.total } = read.data;
    const isMore = pagination?.has_more ?? (total !== undefined && features.length < total);
    if (read.data.features.length === 0 || !isMore) break;
    if (bytes > mostBytes) throw failed(url, 'it sends more than any SAE has');
  }
  return { ...(n_features !== undefined && { n_features }), features };
}

async function fetchText(url: URL): Promise<string> {
  let response: Response;
  try {
    response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(pageTimeoutMs) });
    if (response.ok) return await response.text();
  } catch (error) {
    throw failed(url, 'it does not answer', error);
  }
  throw failed(url, `it answers with status ${response.status}`);
}

function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return z.object({ success: z.literal(true), data: z.unknown() }).safeParse(value).data?.data ?? value;
  } catch {
    return null;
  }
}

const failed = (url: URL, why: string, cause?: unknown) =>
  new AppError('DOWNLOAD_FAILED', `The labels could not be fetched from ${url.host}: ${why}.`, { cause });
