// Public parameters → what the sidecar samples with.
import type { Schemas } from '../inference/contract.ts';
import type { CommonRequest } from './schemas.ts';
import { AppError } from '../errors.ts';

export interface Limits {
  maxN: number;
}

export function toSampling(
  request: CommonRequest,
  { maxTokens, logprobs }: { maxTokens: number | null; logprobs: number | null },
): Schemas['Sampling'] {
  const minTokens = request.min_tokens ?? 0;
  if (maxTokens !== null && minTokens > maxTokens) {
    const message = `min_tokens must be less than or equal to max_tokens=${maxTokens}, got ${minTokens}.`;
    throw new AppError('VALIDATION_ERROR', message, { param: 'min_tokens' });
  }
  const stop = request.stop ?? [];
  return {
    temperature: request.temperature ?? null,
    top_p: request.top_p ?? null,
    top_k: request.top_k ?? null,
    min_p: request.min_p ?? 0,
    frequency_penalty: request.frequency_penalty ?? 0,
    presence_penalty: request.presence_penalty ?? 0,
    repetition_penalty: request.repetition_penalty ?? null,
    logit_bias: request.logit_bias ?? {},
    // An exact int64 goes out as its own digits.
    seed: exactInteger(request.seed ?? null),
    max_tokens: maxTokens,
    min_tokens: minTokens,
    stop: typeof stop === 'string' ? [stop] : stop,
    stop_token_ids: request.stop_token_ids ?? [],
    include_stop_str_in_output: request.include_stop_str_in_output ?? false,
    ignore_eos: request.ignore_eos ?? false,
    skip_special_tokens: request.skip_special_tokens ?? true,
    logprobs,
  };
}

export function choiceCount(request: CommonRequest, { maxN }: Limits): number {
  const n = request.n ?? 1;
  if (n >= 1 && n <= maxN) return n;
  throw new AppError('VALIDATION_ERROR', `n must be in [1, ${maxN}], got ${n}.`, { param: 'n' });
}

export function wantsUsage(request: CommonRequest): boolean {
  const options = request.stream_options;
  const hasContent = options != null && Object.values(options).some((value) => value != null);
  if (hasContent && request.stream !== true) {
    const message = 'Stream options can only be defined when `stream=True`.';
    throw new AppError('VALIDATION_ERROR', message, { param: 'stream_options' });
  }
  return options?.include_usage === true;
}

function exactInteger(value: number | bigint | null): number | null {
  if (typeof value !== 'bigint') return value;
  const raw = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(value.toString());
  return raw as number;
}
