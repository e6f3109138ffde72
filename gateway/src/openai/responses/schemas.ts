// POST /v1/responses, without state on the server.
import { z } from 'zod';
import { chatRequest, toolChoice, unsupported } from '../schemas.ts';

const chat = chatRequest.shape;
const ignored = z.unknown().optional();
const flag = z.boolean().nullish();

const part = z.looseObject({ type: z.string(), text: z.string().optional() });
const item = z.looseObject({
  type: z.string().nullish(),
  role: z.string().nullish(),
  content: z.union([z.string(), z.array(part)]).nullish(),
  call_id: z.string().nullish(),
  name: z.string().nullish(),
  arguments: z.string().nullish(),
  output: z.union([z.string(), z.array(part)]).nullish(),
});

const functionTool = z.looseObject({
  type: z.string(),
  name: z.string().nullish(),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: flag,
});

const state = 'This server keeps no responses; send the whole conversation in input.';

export const responseRequest = z
  .looseObject({
    model: z.string(),
    input: z.union([z.string().min(1, { error: 'input must not be empty.' }), z.array(item).min(1)]),
    instructions: z.string().nullish(),
    max_output_tokens: z.int().min(1).nullish(),
    temperature: chat.temperature,
    top_p: chat.top_p,
    stream: flag,
    stream_options: ignored,
    text: z
      .looseObject({ format: z.looseObject({ type: z.string() }).nullish(), verbosity: z.string().nullish() })
      .nullish(),
    tools: z.array(functionTool).nullish(),
    tool_choice: z
      .union([...toolChoice.options, z.looseObject({ type: z.literal('function'), name: z.string() })])
      .nullish(),
    parallel_tool_calls: flag,
    reasoning: z.looseObject({ effort: chat.reasoning_effort }).nullish(),
    truncation: z.enum(['auto', 'disabled']).nullish(),
    previous_response_id: unsupported(`previous_response_id is not supported. ${state}`),
    conversation: unsupported(`conversation is not supported. ${state}`),
    prompt: unsupported('prompt templates are not supported; send input.'),
    background: z.literal(false, { error: 'background is not supported.' }).nullish(),
    profile: chat.profile,
    steering: chat.steering,
    steering_intensity: chat.steering_intensity,
    activations: chat.activations,
    store: ignored,
    metadata: ignored,
    user: ignored,
    include: ignored,
    service_tier: ignored,
    prompt_cache_key: ignored,
    safety_identifier: ignored,
  })
  .meta({ id: 'ResponseRequest' });

export type ResponseRequest = z.output<typeof responseRequest>;
export type ResponseItem = z.output<typeof item>;
