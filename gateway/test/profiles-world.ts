// The world that the sample documents are made for: one model, SAEs of one repository, and ways to import and ask.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Database } from '../src/storage/database.ts';
import { modelId, modelName, startStack, until } from './build-test-app.ts';
import type { ApiAnswer, StackOptions, TestStack } from './build-test-app.ts';

export const saeId = (layer: number) => `example--smollm2-saes--layer_${layer}_residual`;
export const sample = (name: string) => readFileSync(join(import.meta.dirname, 'samples', name), 'utf8');

export interface Imported {
  profile: { id: string; name: string; features: { index: number; strength: number }[] } | null;
  profiles: { id: string; name: string }[];
  status: string;
  warnings: string[];
  dropped: { key: string; reason: string }[];
  results: {
    name: string;
    status: string;
    profile_id: string | null;
    warnings: string[];
    error: { message: string } | null;
  }[];
  imported: number;
  errors: number;
}

export interface ProfileWorld extends TestStack {
  import(text: string, query?: string, path?: string): Promise<ApiAnswer & { data: Imported }>;
  importSample(name: string, query?: string): Promise<Imported>;
  exported(id: string, query?: string): Promise<{ data: Record<string, unknown>; left_out: string[] }>;
  /** What reaches the sidecar for a request with this. */
  steered(extra: object): Promise<{ status: number; features: unknown[]; headers: Headers; code: string | null }>;
}

/** Attaches an SAE of the example repository at each of the layers. */
export async function profileWorld(
  database: Database,
  layers = [15],
  options: StackOptions = {},
): Promise<ProfileWorld> {
  const stack = await startStack(database, options);
  await stack.api('POST', '/saes/demo/detach');
  for (const layer of layers) {
    const info = { repo_path: `layer_${layer}_residual` };
    const id = saeId(layer);
    const row = { id, repoId: 'example/smollm2-saes', path: `/cache/layer_${layer}_residual`, modelId, info };
    await database.client.sae.create({ data: row });
    await until(async () => (await stack.api('GET', `/saes/${id}`)).status === 200);
    await stack.api('POST', `/saes/${id}/attach`);
  }
  const world: ProfileWorld = {
    ...stack,
    async import(text, query = '', path = '/profiles/import') {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(`${stack.url}/api${path}${query}`, { method: 'POST', headers, body: text });
      const body = (await response.json()) as ApiAnswer['body'];
      return { status: response.status, headers: response.headers, body, data: body.data as Imported };
    },
    async importSample(name, query) {
      const answer = await world.import(sample(name), query);
      if (answer.status !== 200) throw new Error(JSON.stringify(answer.body.error));
      return answer.data;
    },
    async exported(id, query = '') {
      const answer = await stack.api('GET', `/profiles/${id}/export${query}`);
      if (answer.status !== 200) throw new Error(JSON.stringify(answer.body.error));
      return answer.body as never;
    },
    async steered(extra) {
      const body = { model: modelName, messages: [{ role: 'user', content: 'hi' }], ...extra };
      const response = await stack.v1('/chat/completions', body);
      const text = await response.text();
      const code = response.ok ? null : (JSON.parse(text) as { error: { code: string } }).error.code;
      const features = response.ok ? (stack.fake.requests.at(-1)?.steering?.features ?? []) : [];
      return { status: response.status, features, headers: response.headers, code };
    },
  };
  return world;
}
