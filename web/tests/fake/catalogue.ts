/** The fake's model, SAE, features and answers. */
export const model = {
  id: 'smollm2',
  name: 'HuggingFaceTB/SmolLM2-135M-Instruct',
  repo_id: 'HuggingFaceTB/SmolLM2-135M-Instruct',
  revision: null,
  architecture: 'LlamaForCausalLM',
  parameters: 134_515_008,
  quantization: null,
  dtype: 'float32',
  device: 'cpu',
  context_length: 8192,
  size_bytes: 144_811_360,
  memory_bytes: 538_060_032,
  status: 'loaded',
  progress: null as number | null,
  locked: false,
  error: null,
};

export const sae = {
  id: 'demo',
  repo_id: 'demo',
  architecture: 'topk',
  d_in: 576,
  d_sae: 4096,
  hook: 'blocks.15.hook_resid_post',
  layer: 15,
  model: model.name,
  attached: true,
  status: 'ready',
  size_bytes: 9_453_312,
};

const labels = [
  'the sea, ships and sailing',
  'cooking and recipes',
  'words of comfort and care',
  'numbers written as digits',
  'names of cities in Europe',
  'the beginning of a sentence',
  'questions that ask for advice',
  'music and instruments',
  'winter weather',
  'code and brackets',
];

export const features = Array.from({ length: 240 }, (_, at) => ({
  index: 12 + at * 17,
  label: `${labels[at % labels.length]}${at < labels.length ? '' : ` (${Math.floor(at / labels.length)})`}`,
  density: 0.0021 + (at % 9) * 0.0034,
  max_activation: 41.7 - (at % 7) * 4.3,
}));

const PLAIN =
  ' The lighthouse keeper woke before dawn, as he had every morning for thirty years, and climbed the narrow stairs to see to the lamp. Below him the village slept. He made tea, opened the logbook, and wrote the date in a careful hand.\n\nNothing had happened for a long time, and he liked it that way.';
const STEERED =
  ' The sea woke before dawn, and the keeper with it. Waves climbed the rocks, ships leaned into the tide, and salt hung in the air like a song of sailors far from harbour. He counted masts on the horizon: a schooner, two trawlers, a ferry bound for the islands.\n\nEvery wave carried a story, and he knew them all 🌊 by name.';

/** Word-like tokens, white space in front, as a byte-pair tokenizer makes them. */
export function answerTokens(strength: number, length: number): string[] {
  const text = strength === 0 ? PLAIN : strength > 0 ? STEERED : PLAIN.replaceAll('lamp', 'desert');
  const tokens = text.match(/\s*[\p{L}\p{M}]+|\s*[^\s\p{L}]|\s+/gu) ?? [];
  const all: string[] = [];
  while (all.length < length && length > tokens.length && length > 500) all.push(...tokens);
  return (all.length > 0 ? all : tokens).slice(0, length).map((token, at) => (at === 0 ? token.trimStart() : token));
}

export function firedAt(token: string, at: number, steered: number | undefined) {
  const isSea = /sea|wave|ship|tide|salt|sailor|harbour|mast|schooner|trawler|ferry|island|lighthouse/i.test(token);
  const pick = [features[(at * 3) % 90], features[(at * 7 + 1) % 90], features[(at * 5 + 2) % 90]];
  const fired = pick.map((feature, rank) => ({
    index: feature?.index ?? 0,
    value: Number((14.2 - rank * 3.7 - (at % 5) * 0.8).toFixed(3)),
    label: feature?.label ?? null,
  }));
  const sea = { index: 12, value: isSea ? 31.4 - (at % 4) * 5 : 0, label: labels[0] ?? null };
  const others = fired.filter(
    (item, rank) => item.index !== 12 && fired.findIndex((f) => f.index === item.index) === rank,
  );
  return isSea || steered === 12 ? [sea, ...others] : others;
}
