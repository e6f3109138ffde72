// What the scripted sidecar reads in a text: the first features fire everywhere, each less than the one before.
import type { Schemas } from '../../src/inference/contract.ts';
import { dSae } from './saes.ts';
import { encode, promptText, tokenId, tokenText } from './tokenizer.ts';

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function unit(vector: number[]): number[] {
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

/** Those that were chosen, then the strongest of the others. */
export function activationsAt(
  ask: Schemas['ActivationsRequest'],
  piece: string,
  position: number,
): Schemas['ActivationEntry'] {
  const top = new Map(Array.from({ length: ask.top_k ?? 0 }, (_, rank) => [rank + 1, 8 - rank]));
  const chosen = (ask.features ?? []).map((index) => [index, top.get(index) ?? 1.5] as const);
  const features = [...new Map([...chosen, ...top])].map(([index, value]) => ({ index, value }));
  return { position, token_id: tokenId(piece), token: piece, sae_id: ask.sae_id, features };
}

export function readActivations(request: Schemas['ReadActivationsRequest']): Schemas['ReadActivationsResponse'] {
  const pieces = encode(promptText(request.prompt)).map(tokenText);
  return { tokens: pieces.map((piece, position) => activationsAt(request.activations, piece, position)) };
}

export function contrast(request: Schemas['ContrastRequest']): Schemas['ContrastResponse'] {
  const features = Array.from({ length: Math.min(request.limit ?? 20, 5) }, (_, k) => ({
    index: k + 1,
    mean_a: 5 - k,
    mean_b: 0.5,
    effect_size: 2 - k / 10,
    auroc: 0.95 - k / 100,
  }));
  return { features, texts_a: request.a.length, texts_b: request.b.length };
}

export function geometry(saeId: string, index: number): Schemas['FeatureGeometry'] {
  return {
    ...{ sae_id: saeId, index, decoder_norm: 1 },
    promoted: [{ token_id: 1, token: ' sea', value: 0.9 }],
    suppressed: [{ token_id: 2, token: ' land', value: -0.8 }],
    nearest: [{ index: (index + 1) % dSae, cosine: 0.5 }],
  };
}

export function embed(request: Schemas['EmbedRequest']): Schemas['EmbedResponse'] {
  const ids = request.inputs.map((input) => input.token_ids ?? encode(input.text ?? ''));
  return {
    vectors: ids.map((tokens) => unit(Array.from({ length: 8 }, (_, d) => Math.sin(d + sum(tokens))))),
    prompt_tokens: sum(ids.map((tokens) => tokens.length)),
  };
}
