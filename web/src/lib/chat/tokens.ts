/** Small questions about an answer's tokens. Pure. */
import type { ActivationEntry, FeatureSummary } from '#lib/api/types.ts';
import type { Segment } from '#lib/state/token-aligner.ts';

const MAX_ALPHA = 0.36;

/** The tint of a token: how strongly the steered feature fires there, next to the most it ever did. */
export function heatOf(entry: ActivationEntry, feature: FeatureSummary | null): string | undefined {
  if (!feature || (feature.sae_id && feature.sae_id !== entry.sae_id)) return undefined;
  const value = entry.features.find((item) => item.index === feature.index)?.value ?? 0;
  if (value <= 0) return undefined;
  const share = Math.min(1, value / (feature.max_activation || value));
  return `rgb(var(--heat) / ${(0.06 + share * MAX_ALPHA).toFixed(3)})`;
}

/** Where a key leads from a token; null when the key does not walk. */
export function nextToken(segments: readonly Segment[], from: number | null, key: string): number | null {
  const tokens = segments.flatMap((segment, index) => (segment.entry ? [index] : []));
  const at = from === null ? -1 : tokens.indexOf(from);
  const to =
    key === 'ArrowRight'
      ? Math.min(at + 1, tokens.length - 1)
      : key === 'ArrowLeft'
        ? Math.max(at - 1, 0)
        : key === 'Home'
          ? 0
          : key === 'End'
            ? tokens.length - 1
            : null;
  return to === null ? null : (tokens[to] ?? null);
}

/** What fired at a token, strongest first. */
export function strongest(entry: ActivationEntry): ActivationEntry['features'] {
  return entry.features.filter((item) => item.value > 0).sort((a, b) => b.value - a.value);
}

/** A token's leading white space stays outside its tint, or lines would end and begin with coloured gaps. */
export function splitSpace(text: string): [space: string, word: string] {
  const word = text.trimStart();
  return word ? [text.slice(0, text.length - word.length), word] : ['', text];
}

/** A token as one can see it: white space made visible. */
export function visibleToken(token: string): string {
  return token.replaceAll('\n', '⏎').replaceAll('\t', '⇥').replaceAll(' ', '·');
}

/** `42 %`, `<0.1 %`: a log-probability as the share it stands for. */
export function formatProbability(logprob: number): string {
  const percent = Math.exp(logprob) * 100;
  return percent < 0.1 ? '<0.1 %' : `${percent.toFixed(percent < 10 ? 1 : 0)} %`;
}
