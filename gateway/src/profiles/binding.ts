// Which SAE of ours an SAE named by a document is. Pure: candidates in, a verdict and its reasons out.
import type { Target } from './exchange/draft.ts';

export interface KnownSae {
  id: string;
  repoId: string | null;
  /** Folder inside the repository. */
  repoPath: string | null;
  layer: number | null;
  nFeatures: number | null;
  dModel: number | null;
  hook: string | null;
  attached: boolean;
}

export interface FeatureSpace {
  n_features: number | null;
  d_model: number | null;
}

export interface Mismatch {
  sae_id: string;
  wanted: FeatureSpace;
  found: FeatureSpace;
}

export interface Binding {
  saeId: string | null;
  warnings: string[];
  mismatch: Mismatch | null;
  /** When several fit equally well. */
  candidates: string[];
}

const agrees = <T>(one: T | null, other: T | null) => one === null || other === null || one === other;

const sameSpace = (target: Target, sae: KnownSae) =>
  agrees(target.nFeatures, sae.nFeatures) && agrees(target.dModel, sae.dModel);
const sameLayer = (target: Target, sae: KnownSae) => agrees(target.layer, sae.layer);

export interface BindOptions {
  /** An SAE that somebody named. */
  chosen?: string | null;
  /** The layers of a circuit are not interchangeable. */
  isLayerStrict?: boolean;
}

/** In order: explicit choice, id, source and layer, feature space and layer; a differing layer alone only warns. */
export function bind(target: Target, saes: readonly KnownSae[], options: BindOptions = {}): Binding {
  const { chosen = null, isLayerStrict = false } = options;
  const explicit = saes.find((sae) => sae.id === (chosen ?? target.saeId));
  if (explicit) return confirm(target, explicit);
  const bySource = saes.filter((sae) => isSource(target, sae) && sameLayer(target, sae));
  if (bySource.length > 0) return choose(target, bySource);
  const bySpace = saes.filter((sae) => sameSpace(target, sae) && sameLayer(target, sae));
  if (bySpace.length > 0) return choose(target, bySpace);
  if (isLayerStrict) return unbound(target, saes, target.layer);
  const byWidth = saes.filter((sae) => declaresSpace(target) && sameSpace(target, sae));
  if (byWidth.length > 0) return choose(target, byWidth);
  return unbound(target, saes);
}

const declaresSpace = ({ nFeatures, dModel }: Target) => nFeatures !== null || dModel !== null;
const namesSource = ({ saeId, repoId }: Target) => saeId !== null || repoId !== null;

const isSource = (target: Target, sae: KnownSae) =>
  target.repoId !== null && target.repoId === sae.repoId && agrees(target.path, sae.repoPath);

/** Of several that fit, the only attached one; else it is for a person to say. */
function choose(target: Target, fitting: readonly KnownSae[]): Binding {
  const attached = fitting.filter((sae) => sae.attached);
  const only = fitting.length === 1 ? fitting[0] : attached.length === 1 ? attached[0] : undefined;
  if (only) return confirm(target, only);
  const candidates = fitting.map((sae) => sae.id);
  const warning = `Several SAEs fit, so none was chosen; name one in sae_id: ${candidates.join(', ')}.`;
  return { saeId: null, warnings: [warning], mismatch: null, candidates };
}

function confirm(target: Target, sae: KnownSae): Binding {
  if (!sameSpace(target, sae)) return mismatched(target, sae);
  const warnings = layerWarning(target, sae);
  if (!namesSource(target) && !declaresSpace(target)) {
    const on = target.layer === null ? 'without any hint' : `on layer ${target.layer} alone`;
    warnings.push(`The document names no SAE; it was bound to "${sae.id}" ${on}.`);
  }
  if (sae.hook !== null && !isBlockOutput(sae.hook)) {
    warnings.push(
      `The SAE "${sae.id}" sits at ${sae.hook}; miStudio and the original steer at the block's output, so the effect differs.`,
    );
  }
  return { saeId: sae.id, warnings, mismatch: null, candidates: [] };
}

const isBlockOutput = (hook: string) =>
  /resid_post|^(model|transformer|gpt_neox)\.(layers|h)\.\d+(\.output)?$|^(layers|blocks|h)\.\d+$/.test(hook);

const layerWarning = (target: Target, sae: KnownSae) =>
  sameLayer(target, sae)
    ? []
    : [`It was made for block ${target.layer}; the SAE "${sae.id}" is at block ${sae.layer}.`];

function mismatched(target: Target, sae: KnownSae): Binding {
  const wanted = { n_features: target.nFeatures, d_model: target.dModel };
  const found = { n_features: sae.nFeatures, d_model: sae.dModel };
  const warning = `It was made for ${space(wanted)}; the SAE "${sae.id}" has ${space(found)}, so its indices mean something else.`;
  return {
    saeId: null,
    warnings: [warning, ...layerWarning(target, sae)],
    mismatch: { sae_id: sae.id, wanted, found },
    candidates: [],
  };
}

const space = ({ n_features, d_model }: FeatureSpace) =>
  `${n_features ?? 'an unknown number of'} features${d_model === null ? '' : ` of width ${d_model}`}`;

/** Nothing fits: compare with the SAE one would have expected, so that the answer says what differs. */
function unbound(target: Target, all: readonly KnownSae[], onlyLayer: number | null = null): Binding {
  const saes = onlyLayer === null ? all : all.filter((sae) => sae.layer === onlyLayer);
  const attached = saes.filter((sae) => sae.attached);
  const nearest =
    saes.find((sae) => isSource(target, sae)) ??
    attached.find((sae) => target.layer !== null && sae.layer === target.layer) ??
    (attached.length > 0 ? attached[0] : saes.length === 1 ? saes[0] : undefined);
  if (nearest && !sameSpace(target, nearest)) return mismatched(target, nearest);
  const where = target.layer === null ? '' : ` at block ${target.layer}`;
  const other = nearest ? ` "${nearest.id}" is at block ${nearest.layer}.` : '';
  const warning = `No SAE${where} that fits is known here, so it is not bound.${other}`;
  return { saeId: null, warnings: [warning], mismatch: null, candidates: [] };
}
