// The hub as the scripted sidecar sees it. A repository's name says how it behaves: `gated`, `missing`, `failing`, `slow`;
// everything else is downloaded in a moment.
import type { Schemas } from '../../src/inference/contract.ts';
import { failure } from './failure.ts';
import { describeSae } from './saes.ts';

export interface FakeHub {
  downloads: Map<string, Schemas['DownloadState']>;
  /** Tokens as they arrived: they may be nowhere else. */
  tokens: (string | null | undefined)[];
  deleted: string[];
  stepMs: number;
  /** Bytes of a slow download, which ends only when it is told to. */
  advance(downloadId: string, bytesDone: number): void;
  finish(downloadId: string): void;
  answer(method: string, path: string, body: Record<string, unknown>): unknown;
  /** Forget everything, as a process that was killed. */
  restart(): void;
}

const size = 1_000_000;
const folder = (repoId: string, path: string | null | undefined) =>
  `/cache/${repoId.replaceAll('/', '--')}${path ? `/${path}` : ''}`;

export function createFakeHub(publish: (download: Schemas['DownloadState']) => void): FakeHub {
  let seq = Date.now();

  function change(id: string, update: Partial<Schemas['DownloadState']>): Schemas['DownloadState'] {
    const before = hub.downloads.get(id);
    if (!before) throw failure('VALIDATION_ERROR', `The fake knows no download ${id}.`);
    seq += 1;
    const next = { ...before, ...update, seq };
    hub.downloads.set(id, next);
    publish(next);
    return next;
  }

  function refuseUnknown(repoId: string, token: unknown): void {
    if (repoId.includes('missing')) throw failure('DOWNLOAD_FAILED', `The hub has no repository ${repoId}.`);
    if (repoId.includes('gated') && !token) throw failure('GATED_REPOSITORY', `${repoId} wants a token.`);
  }

  function start(request: Schemas['StartDownloadRequest']): Schemas['DownloadState'] {
    const { download_id: id, kind, repo_id, revision = null, path = null } = request;
    hub.tokens.push(request.hf_token);
    refuseUnknown(repo_id, request.hf_token);
    const known = hub.downloads.get(id);
    if (known && (known.state === 'queued' || known.state === 'running')) return known;
    seq += 1;
    const bytes_done = known?.bytes_done ?? 0;
    const state = { download_id: id, kind, repo_id, revision, path, state: 'queued' as const, bytes_done };
    hub.downloads.set(id, { ...state, bytes_total: size, seq });
    setTimeout(() => run(id, repo_id), hub.stepMs);
    return hub.downloads.get(id) as Schemas['DownloadState'];
  }

  function run(id: string, repoId: string): void {
    if (hub.downloads.get(id)?.state !== 'queued') return;
    const local_path = folder(repoId, hub.downloads.get(id)?.path);
    change(id, { state: 'running', bytes_done: size / 10, bytes_per_second: 1e6, local_path });
    if (repoId.includes('slow')) return;
    setTimeout(() => {
      if (hub.downloads.get(id)?.state !== 'running') return;
      if (!repoId.includes('failing')) return hub.finish(id);
      const error = { code: 'DOWNLOAD_FAILED' as const, message: 'The checksum does not match.' };
      change(id, { state: 'failed', error, bytes_per_second: 0 });
    }, hub.stepMs);
  }

  function preview(body: Record<string, unknown>): Schemas['RepositoryPreview'] {
    const repoId = String(body['repo_id']);
    hub.tokens.push(body['hf_token'] as string | null);
    refuseUnknown(repoId, body['hf_token']);
    const sae = (layer: number) => ({
      path: `layer_${layer}_residual`,
      size_bytes: size,
      architecture: 'jumprelu',
      ...{ d_in: 576, d_sae: 4096, layer, hook: `blocks.${layer}.hook_resid_post` },
    });
    return {
      repo_id: repoId,
      kind: body['kind'] as 'model' | 'sae',
      revision: 'c0ffee',
      files: [{ path: 'config.json', size_bytes: 700 }],
      size_bytes: size,
      gated: repoId.includes('gated'),
      license: 'apache-2.0',
      parameters: 134_515_008,
      memory: [
        {
          ...{ quantization: 'FP16' as const, memory_bytes: 400_000_000, fits: true },
          ...{ kv_bytes: 90_000_000, sae_bytes: 75_497_472 },
        },
      ],
      saes: body['kind'] === 'sae' ? [sae(10), sae(15)] : [],
      disk_free_bytes: 1e11,
    };
  }

  const hub: FakeHub = {
    downloads: new Map(),
    tokens: [],
    deleted: [],
    stepMs: 20,
    advance: (id, bytes_done) => void change(id, { bytes_done }),
    finish(id) {
      const known = hub.downloads.get(id);
      const local_path = folder(known?.repo_id ?? '', known?.path);
      change(id, { state: 'done', bytes_done: size, bytes_per_second: 0, revision: 'c0ffee', local_path });
    },
    answer(method, path, body) {
      const cancel = /^\/downloads\/([^/]+)\/cancel$/.exec(path)?.[1];
      if (cancel) return change(cancel, { state: 'cancelled', bytes_per_second: 0 });
      if (path === '/downloads') {
        return method === 'GET' ? [...hub.downloads.values()] : start(body as Schemas['StartDownloadRequest']);
      }
      if (path.startsWith('/hub/registry')) return registry(new URL(path, 'http://fake').searchParams);
      if (path === '/hub/preview') return preview(body);
      if (path === '/files/delete') {
        hub.deleted.push(String(body['path']));
        return { freed_bytes: size };
      }
      if (path === '/saes/inspect') return describeSae(String(body['path']));
      return undefined;
    },
    restart: () => hub.downloads.clear(),
  };
  return hub;
}

const published = [10, 15, 20].map((layer) => ({
  release: 'smollm2-135m-res',
  sae_id: `layer_${layer}`,
  repo_id: 'org/smollm2-saes',
  path: `layer_${layer}_residual`,
  model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
  l0: 40 + layer,
}));

function registry(query: URLSearchParams): Schemas['RegistryPage'] {
  const isExact = (name: 'release' | 'sae_id', value: string) => (query.get(name) ?? value) === value;
  const words = (query.get('search') ?? '').toLowerCase().split(/\s+/);
  const found = published.filter(
    (entry) =>
      isExact('release', entry.release) &&
      isExact('sae_id', entry.sae_id) &&
      words.every((word) => Object.values(entry).join(' ').toLowerCase().includes(word)),
  );
  const skip = Number(query.get('skip') ?? 0);
  return { items: found.slice(skip, skip + Number(query.get('limit') ?? 50)), total: found.length };
}
