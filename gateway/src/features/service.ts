import { AppError } from '../errors.ts';
import type { InferenceClient } from '../inference/client.ts';
import type { ActivationEntry } from '../inference/contract.ts';
import type { SaeService } from '../saes/service.ts';
import type { FeatureQuery, FeatureRepository, FeatureRow } from './repository.ts';
import { toFeature as toWire } from './schemas.ts';
import type { FeatureDetail } from './schemas.ts';
import { suggestedStrengths } from './suggested.ts';

export interface FeatureServiceOptions {
  features: FeatureRepository;
  saes: SaeService;
  client: Pick<InferenceClient, 'getFeature'>;
}

export interface LabelledEntry extends Omit<ActivationEntry, 'features'> {
  features: { index: number; value: number; label: string | null }[];
}

export type Labeller = (entries: readonly ActivationEntry[]) => LabelledEntry[];
export type FeatureService = ReturnType<typeof featureService>;

const unknown: Omit<FeatureRow, 'index'> = {
  ...{ label: null, density: null, maxActivation: null, promoted: null, contexts: null },
};

export function featureService({ features, saes, client }: FeatureServiceOptions) {
  return {
    /** `isSuggested`: only those with a measured strength, in the order in which they are stated. */
    async page(saeId: string, query: Omit<FeatureQuery, 'among'> & { isSuggested: boolean }) {
      const suggested = suggestedStrengths(await saes.get(saeId));
      const among = query.isSuggested ? [...suggested.keys()] : undefined;
      const { rows, total } = await features.page(saeId, { ...query, among });
      return { items: rows.map((row) => toWire(row, suggested)), total, skip: query.skip, limit: query.limit };
    },

    async detail(saeId: string, index: number, requestId: string): Promise<FeatureDetail> {
      const sae = await saes.get(saeId);
      const size = sae.attached?.d_sae ?? sae.row.dSae;
      if (size !== null && index >= size) {
        throw new AppError(
          'INVALID_FEATURE_INDEX',
          `Feature index ${index} is out of range: the SAE "${saeId}" has features 0 to ${size - 1}.`,
          { details: { index, d_sae: size } },
        );
      }
      const row = await features.find(saeId, index);
      const base = toWire(row ?? { ...unknown, index }, suggestedStrengths(sae));
      const labels = await features.labels(saeId);
      // Geometry is read from the weights, so it is there only while the SAE is attached.
      const geometry = sae.attached ? await client.getFeature(saeId, index, 10, { requestId }) : null;
      return {
        ...base,
        sae_id: saeId,
        contexts: Array.isArray(row?.contexts) ? row.contexts : [],
        decoder_norm: geometry?.decoder_norm ?? null,
        promoted: geometry?.promoted ?? storedTokens(row?.promoted),
        suppressed: geometry?.suppressed ?? [],
        nearest: (geometry?.nearest ?? []).map((near) => ({ ...near, label: labels.get(near.index) ?? null })),
        neuronpedia_url: neuronpediaUrl(sae.row.info, index),
      };
    },

    label: async (saeId: string, index: number) => (await features.labels(saeId)).get(index) ?? null,

    /** A function that joins labels to the entries of one SAE without waiting for the database per token. */
    async labeller(saeId: string): Promise<Labeller> {
      const labels = await features.labels(saeId);
      return (entries) =>
        entries.map((entry) => ({
          ...entry,
          features: entry.features.map(({ index, value }) => ({ index, value, label: labels.get(index) ?? null })),
        }));
    },
  };
}

function storedTokens(promoted: unknown): FeatureDetail['promoted'] {
  if (!Array.isArray(promoted)) return [];
  return promoted.flatMap((item: unknown) => {
    if (typeof item === 'string') return [{ token_id: null, token: item, value: null }];
    const { token, token_id, value } = (item ?? {}) as { token?: unknown; token_id?: unknown; value?: unknown };
    if (typeof token !== 'string') return [];
    return [
      {
        token_id: typeof token_id === 'number' ? token_id : null,
        token,
        value: typeof value === 'number' ? value : null,
      },
    ];
  });
}

function neuronpediaUrl(info: unknown, index: number): string | null {
  const id = (info as { neuronpedia_id?: unknown } | null)?.neuronpedia_id;
  if (typeof id !== 'string' || !/^[\w.-]+(\/[\w.-]+)+$/.test(id)) return null;
  return `https://www.neuronpedia.org/${id}/${index}`;
}
