// POST /v1/completions: prompts × choices, as one stream of chunks or one answer.
import { AppError } from '../errors.ts';
import type { GenerateRequest, OutputEvent, Prompt } from '../inference/contract.ts';
import type { Started } from './chat.ts';
import { completionChunk, completionChunks } from './completion-chunks.ts';
import type { CompletionChunk, CompletionPlan } from './completion-chunks.ts';
import type { Usage } from './chunks.ts';
import { newId, unixSeconds } from './generation.ts';
import type { Caller, GenerationService, Ground } from './generation.ts';
import { toConstraint } from './grammar.ts';
import { merge } from './merge.ts';
import { describeOverflow } from './overflow.ts';
import { choiceCount, toSampling, wantsUsage } from './params.ts';
import { bestOf } from './best-of.ts';
import type { CompletionRequest } from './schemas.ts';

export interface CompletionDeps {
  generation: GenerationService;
  limits: { maxN: number; maxPrompts: number };
}

export type CompletionService = ReturnType<typeof completionService>;

const defaultMaxTokens = 16;
/** Prompts of one request that the sidecar sees at the same time; the rest wait here, not in its queue. */
const promptsAtOnce = 8;

export function completionService({ generation, limits }: CompletionDeps) {
  return {
    async start(request: CompletionRequest, caller: Caller): Promise<Started<CompletionChunk>> {
      const includeUsage = wantsUsage(request);
      const n = choiceCount(request, limits);
      const candidates = candidateCount(request, n);
      const prompts = toPrompts(request, limits.maxPrompts);
      const constraint = toConstraint(request);
      const logprobs = request.logprobs ?? null;
      const sampling = toSampling(request, {
        maxTokens: request.max_tokens ?? defaultMaxTokens,
        logprobs: candidates > n ? Math.max(logprobs ?? 0, 0) : logprobs,
      });
      const ground = await generation.prepare(request, caller);
      refuseUnknownIds(prompts, ground.loaded.vocab_size);
      const plan: CompletionPlan = {
        id: newId('cmpl'),
        created: unixSeconds(),
        model: request.model,
        systemFingerprint: ground.systemFingerprint,
        n,
        echo: request.echo === true,
        logprobs,
        label: ground.label,
        steering: ground.steering.name,
      };
      const base: Omit<GenerateRequest, 'prompt' | 'request_id'> = {
        model_id: ground.row.id,
        n: candidates,
        sampling,
        grammar: constraint?.grammar ?? null,
        steering: ground.steering.spec,
        activations: ground.activations,
        return_prompt: plan.echo,
        prompt_logprobs: plan.echo ? logprobs : null,
      };
      const begin = (position: number) => () =>
        startPrompt(generation, ground, caller, plan, candidates, base, prompts, position);
      // The first prompt is accepted before anything is answered, so that its failure has a status.
      const first = await begin(0)();
      const starters = [async () => first, ...prompts.slice(1).map((_, index) => begin(index + 1))];
      return {
        chunks: withTotalUsage(plan, merge(starters, promptsAtOnce)),
        includeUsage,
        steering: ground.steering.name,
        intensity: ground.steering.intensity,
        constrained: constraint?.label ?? null,
        promptTokens: 0,
      };
    },
  };
}

async function startPrompt(
  generation: GenerationService,
  ground: Ground,
  caller: Caller,
  plan: CompletionPlan,
  candidates: number,
  base: Omit<GenerateRequest, 'prompt' | 'request_id'>,
  prompts: readonly Prompt[],
  position: number,
): Promise<AsyncGenerator<CompletionChunk>> {
  const prompt = prompts[position];
  if (!prompt) throw new Error(`There is no prompt ${position}.`);
  const requestId = prompts.length === 1 ? caller.requestId : `${caller.requestId}.${position}`;
  try {
    const { events } = await generation.start(ground.row, { ...base, prompt, request_id: requestId }, caller);
    const chosen: AsyncIterable<OutputEvent> = candidates > plan.n ? bestOf(events, plan.n) : events;
    return completionChunks(plan, position * plan.n, chosen);
  } catch (error) {
    throw describeOverflow(error, 'prompt');
  }
}

/** The usage of every prompt, once, at the end. */
async function* withTotalUsage(
  plan: CompletionPlan,
  chunks: AsyncGenerator<CompletionChunk>,
): AsyncGenerator<CompletionChunk> {
  let total: Usage | null = null;
  for await (const chunk of chunks) {
    if (chunk.usage) total = total === null ? chunk.usage : addUsage(total, chunk.usage);
    else yield chunk;
  }
  if (total) yield { ...completionChunk(plan, []), usage: total };
}

function addUsage(a: Usage, b: Usage): Usage {
  return {
    prompt_tokens: a.prompt_tokens + b.prompt_tokens,
    completion_tokens: a.completion_tokens + b.completion_tokens,
    total_tokens: a.total_tokens + b.total_tokens,
    prompt_tokens_details: {
      cached_tokens: a.prompt_tokens_details.cached_tokens + b.prompt_tokens_details.cached_tokens,
    },
    completion_tokens_details: a.completion_tokens_details,
    millm: { ...a.millm, steered_positions: a.millm.steered_positions + b.millm.steered_positions },
  };
}

function candidateCount(request: CompletionRequest, n: number): number {
  const bestOf = request.best_of ?? 0;
  if (bestOf === 0) return n;
  const refuse = (message: string) => new AppError('VALIDATION_ERROR', message, { param: 'best_of' });
  if (bestOf < n) throw refuse(`best_of must be at least n=${n}, got ${bestOf}.`);
  if (bestOf > 1 && request.stream === true) throw refuse('best_of cannot be used with stream.');
  return bestOf;
}

function toPrompts({ prompt, add_special_tokens }: CompletionRequest, maxPrompts: number): Prompt[] {
  const list = normalise(prompt);
  if (list.length > maxPrompts) {
    const message = `prompt must hold at most ${maxPrompts} prompts, got ${list.length}.`;
    throw new AppError('VALIDATION_ERROR', message, { param: 'prompt' });
  }
  return list.map((item) =>
    typeof item === 'string'
      ? { type: 'text', text: item, add_special_tokens: add_special_tokens ?? true }
      : { type: 'tokens', token_ids: item },
  );
}

/** One string or one list of ids is one prompt. */
export function normalise(prompt: string | string[] | number[] | number[][]): (string | number[])[] {
  if (typeof prompt === 'string') return [prompt];
  return isTokens(prompt) ? [prompt] : prompt;
}

const isTokens = (prompt: string[] | number[] | number[][]): prompt is number[] => typeof prompt[0] === 'number';

function refuseUnknownIds(prompts: readonly Prompt[], vocabSize: number): void {
  for (const prompt of prompts) {
    const unknown = prompt.type === 'tokens' ? prompt.token_ids.find((id) => id >= vocabSize) : undefined;
    if (unknown === undefined) continue;
    const message = `Token id ${unknown} is out of vocabulary (vocabulary size ${vocabSize}).`;
    throw new AppError('VALIDATION_ERROR', message, { param: 'prompt' });
  }
}
