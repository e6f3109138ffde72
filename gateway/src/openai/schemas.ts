// The public request bodies of /v1. Loose on purpose: unknown fields are accepted, and reported in a header.
// `null` means the same as leaving a field out.
import { z } from 'zod';
import { steering } from '../steering/schemas.ts';
import { intensityAlias } from './intensity.ts';

type Bound = (value: number) => boolean;

/** A number with the range message clients know: `temperature must be in [0, 2], got 3.` */
const number = (name: string, range: string, isInRange: Bound, base: z.ZodType<number> = z.number()) =>
  base.refine(isInRange, { error: (issue) => `${name} must be ${range}, got ${String(issue.input)}.` }).nullish();
const between = (name: string, low: number, high: number, base?: z.ZodType<number>) =>
  number(name, `in [${low}, ${high}]`, (value) => value >= low && value <= high, base);

const flag = z.boolean().nullish();
const ignored = z.unknown().optional();

/** Refuses a field whose meaning we would change by ignoring it. */
export const unsupported = (message: string) =>
  z
    .unknown()
    .optional()
    .superRefine((value, context) => {
      if (value == null) return;
      context.addIssue({ code: 'custom', message, params: { v1Code: 'unsupported_parameter' } });
    });

const maxStops = 32;
const stopString = z.string().min(1, { error: 'stop cannot contain an empty string.' });
const stop = z
  .union([stopString, z.array(stopString)])
  .superRefine((value, context) => {
    if (typeof value !== 'string' && value.length > maxStops) {
      const message = `stop must contain at most ${maxStops} strings, got ${value.length}.`;
      context.addIssue({ code: 'custom', message });
    }
  })
  .nullish();

const logitBias = z
  .record(z.string(), z.unknown())
  .superRefine((value, context) => {
    const add = (message: string) => context.addIssue({ code: 'custom', message });
    const badKeys = Object.keys(value).filter((key) => !/^\d+$/.test(key));
    if (badKeys.length > 0) add(`logit_bias keys must be token ids, got ${badKeys.join(', ')}.`);
    const badValue = Object.values(value).find((bias) => typeof bias !== 'number' || Math.abs(bias) > 100);
    if (badValue !== undefined)
      add(`logit_bias values must be numbers in [-100, 100], got ${JSON.stringify(badValue)}.`);
  })
  .transform((value) => value as Record<string, number>)
  .nullish();

/** An int64; beyond 2^53 the exact digits arrive as a bigint. */
const int64 = { low: -(2n ** 63n), high: 2n ** 63n - 1n };
const seed = z
  .union([z.bigint(), z.number()])
  .superRefine((value, context) => {
    if (typeof value === 'number' && !Number.isInteger(value)) {
      const message = "Invalid type for 'seed': expected integer, got number.";
      context.addIssue({ code: 'custom', message, params: { v1Code: 'invalid_type' } });
    } else if (BigInt(value) < int64.low || BigInt(value) > int64.high) {
      context.addIssue({ code: 'custom', message: `seed must be in [${int64.low}, ${int64.high}], got ${value}.` });
    }
  })
  .meta({ override: { type: 'integer' } })
  .nullish();

const sampling = {
  temperature: between('temperature', 0, 2),
  top_p: number('top_p', 'in (0, 1]', (value) => value > 0 && value <= 1),
  top_k: number('top_k', '-1 or 0 (off) or at least 1', (value) => value >= -1, z.int()),
  min_p: between('min_p', 0, 1),
  frequency_penalty: between('frequency_penalty', -2, 2),
  presence_penalty: between('presence_penalty', -2, 2),
  repetition_penalty: number('repetition_penalty', 'greater than zero', (value) => value > 0),
  logit_bias: logitBias,
  seed,
  stop,
  stop_token_ids: z.array(z.int().min(0)).nullish(),
  include_stop_str_in_output: flag,
  ignore_eos: flag,
  min_tokens: number('min_tokens', 'at least 0', (value) => value >= 0, z.int()),
  skip_special_tokens: flag,
};

const grammar = {
  response_format: z.looseObject({ type: z.string() }).nullish(),
  structured_outputs: z.record(z.string(), z.unknown()).nullish(),
};

const streaming = {
  stream: flag,
  stream_options: z
    .looseObject({ include_usage: flag, include_obfuscation: flag, continuous_usage_stats: flag })
    .nullish(),
};

export const activations = z
  .looseObject({
    sae_id: z.string().nullish(),
    top_k: between('top_k', 0, 256, z.int()),
    features: z.array(z.int().min(0)).max(1024).nullish(),
    prompt: flag,
    stage: z.enum(['before', 'after']).nullish(),
  })
  .superRefine((value, context) => {
    if ((value.top_k ?? 0) > 0 || (value.features?.length ?? 0) > 0) return;
    context.addIssue({ code: 'custom', path: ['top_k'], message: 'activations needs top_k, features or both.' });
  })
  .meta({ id: 'Activations', description: 'Ask for the features that fired, in the same response.' });

const extension = {
  profile: z.string().min(1).nullish(),
  steering: steering.nullish(),
  steering_intensity: intensityAlias.nullish(),
  activations: activations.nullish(),
};

const vllmOnly = {
  truncate_prompt_tokens: unsupported('truncate_prompt_tokens is not supported; shorten the prompt.'),
  bad_words: unsupported('bad_words is not supported; use logit_bias.'),
  allowed_token_ids: unsupported('allowed_token_ids is not supported; use logit_bias or structured_outputs.'),
};

/** Accepted and of no effect here. */
const harmless = {
  user: ignored,
  metadata: ignored,
  store: ignored,
  service_tier: ignored,
  prompt_cache_key: ignored,
  safety_identifier: ignored,
};

const common = {
  model: z.string(),
  ...sampling,
  n: z.int().nullish(), // its bound is a setting: params.ts
  ...streaming,
  ...grammar,
  ...extension,
  ...vllmOnly,
  ...harmless,
};

const contentPart = z.looseObject({ type: z.string(), text: z.string().optional() });

const toolCall = z.looseObject({
  id: z.string().nullish(),
  type: z.literal('function').nullish(),
  function: z.looseObject({ name: z.string(), arguments: z.union([z.string(), z.record(z.string(), z.unknown())]) }),
});

export const message = z
  .looseObject({
    role: z.string().min(1),
    content: z.union([z.string(), z.array(contentPart)]).nullish(),
    name: z.string().nullish(),
    tool_calls: z.array(toolCall).nullish(),
    tool_call_id: z.string().nullish(),
    refusal: z.string().nullish(),
    reasoning: z.string().nullish(),
    reasoning_content: z.string().nullish(),
    reasoning_text: z.string().nullish(),
  })
  .meta({ id: 'ChatMessage' });

export const functionTool = z.looseObject({
  type: z.literal('function'),
  function: z.looseObject({
    name: z.string().min(1),
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: flag,
  }),
});

export const toolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.looseObject({ type: z.literal('function'), function: z.looseObject({ name: z.string() }) }),
]);

const tokenLimit = (name: string) => number(name, 'at least 1', (value) => value >= 1, z.int());

export const chatRequest = z
  .looseObject({
    ...common,
    messages: z.array(message).min(1, { error: 'messages must hold at least one message.' }),
    max_tokens: tokenLimit('max_tokens'),
    max_completion_tokens: tokenLimit('max_tokens'),
    logprobs: flag,
    top_logprobs: between('top_logprobs', 0, 20, z.int()),
    tools: z.array(functionTool).min(1, { error: '`tools` must not be an empty array.' }).nullish(),
    tool_choice: toolChoice.nullish(),
    parallel_tool_calls: flag,
    continue_final_message: flag,
    add_generation_prompt: flag,
    add_special_tokens: flag,
    chat_template: z.string().nullish(),
    chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
    documents: z.array(z.unknown()).nullish(),
    echo: unsupported('echo is not supported for chat; use /v1/completions.'),
    reasoning_effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).nullish(),
    functions: unsupported('functions is deprecated and not supported; use tools.'),
    function_call: unsupported('function_call is deprecated and not supported; use tool_choice.'),
    extra_messages: unsupported('extra_messages is not supported; send one request per conversation.'),
  })
  .meta({ id: 'ChatCompletionRequest' });

const nonEmpty = { error: 'prompt must be provided and non-empty.' };
const provided = { error: ({ input }: { input?: unknown }) => (input === undefined ? nonEmpty.error : undefined) };
const tokenIds = z.array(z.int().min(0, { error: (issue) => `Token id ${String(issue.input)} is out of vocabulary.` }));
const textPrompt = z.string().min(1, nonEmpty);

export const completionRequest = z
  .looseObject({
    ...common,
    prompt: z.union(
      [
        textPrompt,
        z.array(textPrompt).min(1, nonEmpty),
        tokenIds.min(1, nonEmpty),
        z.array(tokenIds.min(1, nonEmpty)).min(1, nonEmpty),
      ],
      provided,
    ),
    max_tokens: number('max_tokens', 'at least 0', (value) => value >= 0, z.int()),
    echo: flag,
    logprobs: between('logprobs', 0, 20, z.int()),
    best_of: between('best_of', 0, 20, z.int()),
    suffix: unsupported('suffix is not supported: the model has no fill-in-the-middle tokens.'),
    add_special_tokens: flag,
  })
  .meta({ id: 'CompletionRequest' });

export type CompletionRequest = z.output<typeof completionRequest>;

const maxInputs = 2048;
const emptyInput = { error: 'input must be provided and non-empty.' };
const tooManyInputs = { error: `input must hold at most ${maxInputs} items.` };
const textInput = z.string().min(1, emptyInput);
const idInput = z.array(z.int().min(0)).min(1, emptyInput);

export const embeddingRequest = z
  .looseObject({
    model: z.string(),
    input: z.union([
      textInput,
      z.array(textInput).min(1, emptyInput).max(maxInputs, tooManyInputs),
      idInput,
      z.array(idInput).min(1, emptyInput).max(maxInputs, tooManyInputs),
    ]),
    encoding_format: z.enum(['float', 'base64']).nullish(),
    dimensions: number('dimensions', 'at least 1', (value) => value >= 1, z.int()),
    pooling: z.enum(['mean', 'last', 'cls']).nullish(),
    normalize: flag,
    user: ignored,
  })
  .meta({ id: 'EmbeddingRequest' });

export type EmbeddingRequest = z.output<typeof embeddingRequest>;

export const tokenizeRequest = z
  .looseObject({
    model: z.string().nullish(),
    prompt: z.string().nullish(),
    messages: z.array(message).min(1).nullish(),
    add_special_tokens: flag,
    add_generation_prompt: flag,
    return_token_strs: flag,
  })
  .meta({ id: 'TokenizeRequest' });

export const detokenizeRequest = z
  .looseObject({ model: z.string().nullish(), tokens: z.array(z.int().min(0)) })
  .meta({ id: 'DetokenizeRequest' });

export type ChatRequest = z.output<typeof chatRequest>;
export type ChatMessage = z.output<typeof message>;
export type CommonRequest = Pick<ChatRequest, keyof typeof common>;
export type ActivationsAsk = z.output<typeof activations>;
