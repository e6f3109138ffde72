// POST /v1/chat/completions: one generator of chunks, whether it is streamed or folded into one answer.
import type { Prompt } from '../inference/contract.ts';
import { AppError } from '../errors.ts';
import { chatChunks } from './chunks.ts';
import type { ChatChunk, ChatPlan } from './chunks.ts';
import { newId, unixSeconds } from './generation.ts';
import type { Caller, GenerationService } from './generation.ts';
import { toTemplateMessages } from './messages.ts';
import { toConstraint } from './grammar.ts';
import { describeOverflow } from './overflow.ts';
import { plainOutput } from './output.ts';
import { choiceCount, toSampling, wantsUsage } from './params.ts';
import type { Limits } from './params.ts';
import { reasoningOutput } from './reasoning-output.ts';
import type { ChatRequest } from './schemas.ts';
import { planTools } from './tools.ts';
import type { ToolPlan } from './tools.ts';

export interface ChatDeps {
  generation: GenerationService;
  limits: Limits;
  allowChatTemplate: boolean;
}

/** An accepted generation: from here on, failures belong into the stream. */
export interface Started<Chunk> {
  chunks: AsyncGenerator<Chunk>;
  includeUsage: boolean;
  /** `none` or the fingerprint of what is applied. */
  steering: string;
  intensity: number;
  promptTokens: number;
  /** What decoding is constrained to, for the header; null = nothing. */
  constrained: string | null;
}

export type ChatService = ReturnType<typeof chatService>;

export function chatService({ generation, limits, allowChatTemplate }: ChatDeps) {
  return {
    async start(request: ChatRequest, caller: Caller): Promise<Started<ChatChunk>> {
      const includeUsage = wantsUsage(request);
      const n = choiceCount(request, limits);
      const topLogprobs = logprobCount(request);
      const maxTokens = request.max_completion_tokens ?? request.max_tokens ?? null;
      const sampling = toSampling(request, { maxTokens, logprobs: topLogprobs });
      const tools = planTools(request);
      const constraint = toConstraint(request);
      if (constraint && tools.templateTools) {
        throw new AppError('UNSUPPORTED_VALUE', 'response_format and tools cannot be used together.', {
          param: 'response_format',
        });
      }
      const grammar = tools.grammar ?? constraint?.grammar ?? null;
      const prompt = toPrompt(request, tools, allowChatTemplate);
      const ground = await generation.prepare(request, caller);
      const { accepted, events } = await generation
        .start(
          ground.row,
          {
            request_id: caller.requestId,
            model_id: ground.row.id,
            prompt,
            n,
            sampling,
            grammar,
            steering: ground.steering.spec,
            activations: ground.activations,
          },
          caller,
        )
        .catch((error: unknown) => {
          throw describeOverflow(error, 'messages');
        });
      // What follows a grammar from its first token has no room for reasoning.
      const isOpen = accepted.reasoning_open && grammar === null;
      const plan: ChatPlan = {
        id: newId('chatcmpl'),
        created: unixSeconds(),
        model: request.model,
        systemFingerprint: ground.systemFingerprint,
        n,
        newParser: () => reasoningOutput(tools.newParser?.() ?? plainOutput(), { isOpen }),
        label: ground.label,
        topLogprobs,
        steering: ground.steering.name,
      };
      return {
        chunks: chatChunks(plan, events),
        includeUsage,
        steering: ground.steering.name,
        intensity: ground.steering.intensity,
        promptTokens: accepted.prompt_tokens,
        constrained: constraint?.label ?? null,
      };
    },
  };
}

function logprobCount(request: ChatRequest): number | null {
  const top = request.top_logprobs ?? 0;
  if (request.logprobs === true) return top;
  if (top > 0) {
    const message = 'when using `top_logprobs`, `logprobs` must be set to true.';
    throw new AppError('VALIDATION_ERROR', message, { param: 'top_logprobs' });
  }
  return null;
}

function toPrompt(request: ChatRequest, tools: ToolPlan, allowChatTemplate: boolean): Prompt {
  const isContinued = request.continue_final_message === true;
  if (isContinued && request.add_generation_prompt === true) {
    const message = 'continue_final_message and add_generation_prompt cannot both be true.';
    throw new AppError('VALIDATION_ERROR', message, { param: 'continue_final_message' });
  }
  if (request.chat_template != null && !allowChatTemplate) {
    throw new AppError('VALIDATION_ERROR', 'This server does not allow requests to bring their own chat_template.', {
      param: 'chat_template',
      v1Code: 'unsupported_parameter',
    });
  }
  return {
    type: 'chat',
    messages: toTemplateMessages(request.messages, isContinued),
    tools: tools.templateTools,
    add_generation_prompt: isContinued ? false : (request.add_generation_prompt ?? true),
    continue_final_message: isContinued,
    add_special_tokens: request.add_special_tokens ?? false,
    chat_template: request.chat_template ?? null,
    chat_template_kwargs: templateArguments(request),
  };
}

function templateArguments({ reasoning_effort, documents, chat_template_kwargs }: ChatRequest) {
  return {
    ...(reasoning_effort != null && { enable_thinking: reasoning_effort !== 'none', reasoning_effort }),
    ...(documents != null && { documents }),
    ...chat_template_kwargs,
  };
}
