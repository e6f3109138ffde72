import type { ModelView } from '../models/service.ts';

const loadStates = { loaded: 'loaded', loading: 'loading' } as const;

/** Every model that can be loaded, loaded or not: some clients refuse to start on an empty list. */
export function modelList(views: readonly ModelView[]) {
  const loadable = views.filter(({ row }) => row.path !== null && row.status !== 'downloading');
  return { object: 'list' as const, data: loadable.map(modelObject) };
}

export function modelObject({ row, status, loaded }: ModelView) {
  const contextLength = loaded?.context_length ?? row.contextLength;
  return {
    id: row.name,
    object: 'model' as const,
    created: Math.floor(row.createdAt.getTime() / 1000),
    owned_by: row.repoId.includes('/') ? (row.repoId.split('/')[0] ?? 'millm') : 'millm',
    ...(contextLength !== null && { max_model_len: contextLength }),
    aliases: row.aliases,
    architecture: { input_modalities: ['text'], output_modalities: ['text'] },
    status: { value: status in loadStates ? loadStates[status as keyof typeof loadStates] : 'unloaded' },
  };
}
