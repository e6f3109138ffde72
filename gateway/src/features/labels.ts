// Labels from the files people have: our own, Neuronpedia's lines, a miStudio server's answers. Pure.
import { AppError } from '../errors.ts';
import type { NewFeature } from './repository.ts';
import { largestIndex } from './schemas.ts';

export interface LabelSet {
  format: 'millm' | 'neuronpedia' | 'neuronpedia-zip' | 'mistudio' | 'profile';
  features: NewFeature[];
  /** How many features the SAE has that they were made for; null = not said. */
  nFeatures: number | null;
  dModel: number | null;
  /** Lines and entries that say nothing usable. */
  skipped: number;
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  value !== null && typeof value === 'object' && !Array.isArray(value);
const asNumber = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : undefined);
const asText = (value: unknown) => (typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined);
const asList = (value: unknown) => (Array.isArray(value) ? (value as unknown[]) : undefined);

/** Indices are numbers, or numbers written as text in Neuronpedia's rows. */
function asIndex(value: unknown): number | null {
  const index = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  return typeof index === 'number' && Number.isInteger(index) && index >= 0 && index <= largestIndex ? index : null;
}

/** One JSON document: ours, a miStudio answer, or a list of Neuronpedia's rows. */
export function fromDocument(value: unknown): LabelSet {
  const document = isObject(value) && value['success'] === true && 'data' in value ? value['data'] : value;
  if (Array.isArray(document)) return collect('neuronpedia', document, fromRow);
  if (!isObject(document)) throw unreadable();
  if (Array.isArray(document['explanations'])) return collect('neuronpedia', document['explanations'], fromExplanation);
  const features = asList(document['features']);
  if (!features) throw unreadable();
  const first = features.find(isObject);
  const size = { nFeatures: asNumber(document['n_features']) ?? null };
  if (first && 'feature_idx' in first) return { ...collect('mistudio', features, fromSaeFeature), ...size };
  if (first && 'neuron_index' in first) return { ...collect('mistudio', features, fromExtraction), ...size };
  return { ...collect('millm', features, fromOurs), ...size };
}

/** JSON Lines; a line that is no JSON is an error, one that is about nothing is counted. */
export function fromLines(text: string): LabelSet {
  const rows = text.split('\n').flatMap((line, number) => {
    if (line.trim() === '') return [];
    try {
      return [JSON.parse(line) as unknown];
    } catch (error) {
      throw new AppError('VALIDATION_ERROR', `Line ${number + 1} is not valid JSON.`, { cause: error });
    }
  });
  return collect('neuronpedia', rows, fromRow);
}

/** The parts of a Neuronpedia ZIP that say something of features. */
export function fromArchive(metadata: unknown, explanations: unknown, features: readonly unknown[]): LabelSet {
  if (!isObject(metadata)) throw new AppError('VALIDATION_ERROR', 'The archive has no metadata.json.');
  const labels = isObject(explanations) ? (asList(explanations['explanations']) ?? []) : [];
  const statistics = collect('neuronpedia-zip', features, fromFeatureFile);
  const words = collect('neuronpedia-zip', labels, fromExplanation);
  return {
    ...merged('neuronpedia-zip', [...statistics.features, ...words.features]),
    nFeatures: asNumber(metadata['d_sae']) ?? null,
    dModel: asNumber(metadata['d_model']) ?? null,
    skipped: statistics.skipped + words.skipped,
  };
}

function collect(
  format: LabelSet['format'],
  items: readonly unknown[],
  read: (item: Json) => NewFeature | null,
): LabelSet {
  const read_ = items.map((item) => (isObject(item) ? read(item) : null));
  const features = read_.filter((feature) => feature !== null);
  return { ...merged(format, features), nFeatures: null, dModel: null, skipped: read_.length - features.length };
}

/** One entry per feature; the first that says something keeps its word. */
function merged(format: LabelSet['format'], entries: readonly NewFeature[]): Pick<LabelSet, 'format' | 'features'> {
  const byIndex = new Map<number, NewFeature>();
  for (const entry of entries) {
    const said = Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined)) as NewFeature;
    byIndex.set(entry.index, { ...said, ...byIndex.get(entry.index) });
  }
  return { format, features: [...byIndex.values()] };
}

function fromOurs(item: Json): NewFeature | null {
  const index = asIndex(item['index']);
  if (index === null) return null;
  return {
    index,
    label: asText(item['label']),
    density: asNumber(item['density']),
    max_activation: asNumber(item['max_activation']),
    promoted: asList(item['promoted']),
    contexts: asList(item['contexts']),
  };
}

/** A row of Neuronpedia's explanations, or of its features. */
function fromRow(row: Json): NewFeature | null {
  const index = asIndex(row['index'] ?? row['feature_index']);
  if (index === null) return null;
  const label = asText(row['description'] ?? row['label']);
  const promoted = asList(row['pos_str']);
  const feature = {
    index,
    label,
    density: asNumber(row['frac_nonzero'] ?? row['density']),
    max_activation: asNumber(row['maxActApprox'] ?? row['max_activation']),
    promoted,
  };
  return Object.values(feature).every((value) => value === undefined || value === index) ? null : feature;
}

function fromExplanation(item: Json): NewFeature | null {
  const index = asIndex(item['feature_index'] ?? item['index']);
  if (index === null) return null;
  const score = (entry: Json) => asNumber(entry['score']) ?? -Infinity;
  const best = (asList(item['explanations']) ?? [])
    .filter(isObject)
    .filter((entry) => asText(entry['description']) !== undefined)
    .sort((a, b) => score(b) - score(a))[0];
  const label = asText(best?.['description'] ?? item['description']);
  return label === undefined ? null : { index, label };
}

function fromFeatureFile(item: Json): NewFeature | null {
  const index = asIndex(item['feature_index']);
  if (index === null) return null;
  const statistics = isObject(item['statistics']) ? item['statistics'] : {};
  const logits = isObject(item['logits']) ? item['logits'] : {};
  return {
    index,
    density: asNumber(statistics['activation_frequency']),
    max_activation: asNumber(statistics['max_activation']),
    promoted: asList(logits['top_positive']),
  };
}

function fromSaeFeature(item: Json): NewFeature | null {
  const index = asIndex(item['feature_idx']);
  if (index === null) return null;
  return {
    index,
    label: asText(item['label']),
    max_activation: asNumber(item['max_activation']),
    promoted: asList(item['top_tokens']),
  };
}

function fromExtraction(item: Json): NewFeature | null {
  const index = asIndex(item['neuron_index']);
  if (index === null) return null;
  return {
    index,
    label: asText(item['name']) ?? asText(item['description']),
    density: asNumber(item['activation_frequency']),
    max_activation: asNumber(item['max_activation']),
  };
}

const unreadable = () =>
  new AppError(
    'VALIDATION_ERROR',
    'The file holds no labels that this server can read: a list of features was expected.',
  );
