// Labels written, imported and given back. A label that a person typed is never overwritten by a file.
import { AppError } from '../errors.ts';
import type { SaeService, SaeView } from '../saes/service.ts';
import { readLabels } from './label-files.ts';
import { pullFeatures } from './label-pull.ts';
import { fromDocument } from './labels.ts';
import type { LabelSet } from './labels.ts';
import type { FeatureRepository, FeatureRow, NewFeature } from './repository.ts';
import { suggestedStrengths } from './suggested.ts';

export interface LabelServiceOptions {
  features: FeatureRepository;
  saes: Pick<SaeService, 'get'>;
  /** The labels that a profile's own entries bring, for one SAE. */
  profileLabels: (profileId: string, saeId: string) => Promise<NewFeature[]>;
}

export interface LabelReport {
  format: string;
  imported: number;
  /** Typed by a person, and left as they are. */
  kept: number;
  skipped: number;
}

interface WrittenLabel {
  row: FeatureRow;
  suggested: ReadonlyMap<number, number>;
}

export type LabelService = ReturnType<typeof labelService>;

export function labelService({ features, saes, profileLabels }: LabelServiceOptions) {
  const sizeOf = ({ attached, row }: SaeView) => ({
    dSae: attached?.d_sae ?? row.dSae,
    dIn: attached?.d_in ?? row.dIn,
  });

  function refuseOtherSpace(set: LabelSet, sae: SaeView): void {
    const { dSae, dIn } = sizeOf(sae);
    const differs = (one: number | null, other: number | null) => one !== null && other !== null && one !== other;
    const highest = set.features.reduce((most, { index }) => Math.max(most, index), -1);
    const isOutside = dSae !== null && highest >= dSae;
    if (!differs(set.nFeatures, dSae) && !differs(set.dModel, dIn) && !isOutside) return;
    const found = { n_features: dSae, d_model: dIn };
    const wanted = { n_features: set.nFeatures, d_model: set.dModel, highest_index: highest };
    const message = `The labels are for another SAE: they speak of ${set.nFeatures ?? `feature ${highest}`}, and "${sae.row.id}" has ${dSae} features.`;
    throw new AppError('VALIDATION_ERROR', message, { details: { wanted, found } });
  }

  async function store(sae: SaeView, set: LabelSet): Promise<LabelReport> {
    refuseOtherSpace(set, sae);
    const { kept } = await features.merge(sae.row.id, set.features, set.format);
    return { format: set.format, imported: set.features.length - kept, kept, skipped: set.skipped };
  }

  return {
    async importFile(saeId: string, bytes: Buffer): Promise<LabelReport> {
      const sae = await saes.get(saeId);
      return store(sae, await readLabels(bytes));
    },

    /** From the features of an SAE or of an extraction on a miStudio server. */
    async importFrom(saeId: string, address: string): Promise<LabelReport> {
      const sae = await saes.get(saeId);
      return store(sae, fromDocument(await pullFeatures(address)));
    },

    async importProfile(saeId: string, profileId: string): Promise<LabelReport> {
      const sae = await saes.get(saeId);
      const found = await profileLabels(profileId, saeId);
      const set: LabelSet = { format: 'profile', features: found, nFeatures: null, dModel: null, skipped: 0 };
      return store(sae, set);
    },

    /** null takes the label away. */
    async setLabel(saeId: string, index: number, label: string | null): Promise<WrittenLabel> {
      const sae = await saes.get(saeId);
      const { dSae } = sizeOf(sae);
      if (dSae !== null && index >= dSae) {
        const message = `Feature index ${index} is out of range: the SAE "${saeId}" has features 0 to ${dSae - 1}.`;
        throw new AppError('INVALID_FEATURE_INDEX', message, { details: { index, d_sae: dSae } });
      }
      const row = await features.setLabel(saeId, index, label);
      if (!row) throw new AppError('SAE_NOT_FOUND', `There is no SAE "${saeId}".`);
      return { row, suggested: suggestedStrengths(sae) };
    },

    async exportAll(saeId: string) {
      const sae = await saes.get(saeId);
      const rows = await features.all(saeId);
      return { sae, rows };
    },
  };
}
