// Deleting and cancelling: what is on disk goes with the last model that uses it, and only when we brought it.
import type { DownloadService } from '../downloads/service.ts';
import type { InferenceClient } from '../inference/client.ts';
import type { ModelRepository } from './repository.ts';
import type { ModelService, ModelView } from './service.ts';

export interface RemovalOptions {
  models: ModelRepository;
  service: ModelService;
  downloads: DownloadService;
  client: Pick<InferenceClient, 'deleteFiles'>;
}

export type ModelRemoval = ReturnType<typeof modelRemoval>;

export function modelRemoval({ models, service, downloads, client }: RemovalOptions) {
  return {
    cancel: (id: string): Promise<ModelView> => service.cancel(id, downloads.cancel),

    async remove(id: string): Promise<{ model_id: string; freed_bytes: number }> {
      const row = await service.release(id);
      const others = (await models.list()).filter((other) => other.id !== id);
      const { downloadId, path } = row;
      const isShared = others.some((other) => other.downloadId !== null && other.downloadId === downloadId);
      const partial = isShared ? null : await downloads.stop(downloadId);
      const place = path ?? partial;
      const isOurs = row.source === 'hub' && place !== null && !others.some((other) => other.path === place);
      const freed = isOurs ? (await client.deleteFiles({ path: place })).freed_bytes : 0;
      await models.remove(id);
      if (downloadId !== null && !isShared) await downloads.forget(downloadId);
      return { model_id: id, freed_bytes: freed };
    },
  };
}
