/** The labels of an SAE as files. One label by hand is in features.ts. */
import { path, request } from './client.ts';
import type { LabelReport } from './types.ts';

const UPLOAD_MS = 300_000;

/** Our own file, Neuronpedia's lines (plain, gzip or ZIP) or a miStudio server's answer: the content says which. */
export function importLabels(saeId: string, file: Blob): Promise<LabelReport> {
  return request(path`/api/saes/${saeId}/labels/import`, { method: 'POST', file, timeoutMs: UPLOAD_MS });
}

export function exportLabels(saeId: string): Promise<Record<string, unknown>> {
  return request(path`/api/saes/${saeId}/labels/export`, { timeoutMs: UPLOAD_MS });
}
