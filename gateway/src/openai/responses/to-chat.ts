// A response request is a chat request in other words.
import { AppError } from '../../errors.ts';
import type { ChatMessage, ChatRequest } from '../schemas.ts';
import type { ResponseItem, ResponseRequest } from './schemas.ts';

export function toChatRequest(request: ResponseRequest): ChatRequest {
  return {
    model: request.model,
    messages: toMessages(request),
    max_completion_tokens: request.max_output_tokens,
    temperature: request.temperature,
    top_p: request.top_p,
    tools: toTools(request),
    tool_choice: toChoice(request),
    parallel_tool_calls: request.parallel_tool_calls,
    response_format: toFormat(request),
    reasoning_effort: request.reasoning?.effort,
    profile: request.profile,
    steering: request.steering,
    steering_intensity: request.steering_intensity,
    activations: request.activations,
  };
}

function toMessages({ input, instructions }: ResponseRequest): ChatMessage[] {
  const first: ChatMessage[] = instructions == null ? [] : [{ role: 'system', content: instructions }];
  if (typeof input === 'string') return [...first, { role: 'user', content: input }];
  return [...first, ...input.reduce<ChatMessage[]>(addItem, [])];
}

function addItem(messages: ChatMessage[], item: ResponseItem, position: number): ChatMessage[] {
  const path = `input[${position}]`;
  switch (item.type ?? 'message') {
    case 'message':
      if (item.role == null) throw missing(`${path}.role`);
      messages.push({ role: item.role, content: toContent(item.content, `${path}.content`) });
      return messages;
    case 'function_call':
      addCall(messages, item, path);
      return messages;
    case 'function_call_output':
      if (item.call_id == null) throw missing(`${path}.call_id`);
      messages.push({ role: 'tool', tool_call_id: item.call_id, content: toContent(item.output, `${path}.output`) });
      return messages;
    case 'reasoning':
      return messages;
    default:
      throw new AppError('UNSUPPORTED_VALUE', `Items of type "${item.type}" are not supported.`, {
        param: `${path}.type`,
      });
  }
}

/** Calls of one turn belong to one assistant message. */
function addCall(messages: ChatMessage[], item: ResponseItem, path: string): void {
  if (item.name == null) throw missing(`${path}.name`);
  const call = {
    id: item.call_id,
    type: 'function' as const,
    function: { name: item.name, arguments: item.arguments ?? '{}' },
  };
  const last = messages.at(-1);
  if (last?.role === 'assistant') last.tool_calls = [...(last.tool_calls ?? []), call];
  else messages.push({ role: 'assistant', content: null, tool_calls: [call] });
}

const textTypes: ReadonlySet<string> = new Set(['input_text', 'output_text', 'text', 'refusal']);

function toContent(content: ResponseItem['content'], path: string): string {
  if (content == null) throw missing(path);
  if (typeof content === 'string') return content;
  return content
    .map((part, index) => {
      if (textTypes.has(part.type)) return part.text ?? '';
      throw new AppError('UNSUPPORTED_VALUE', `Content of type "${part.type}" is not supported by this model.`, {
        param: `${path}[${index}]`,
      });
    })
    .join('\n');
}

function toTools({ tools }: ResponseRequest): ChatRequest['tools'] {
  if (tools == null || tools.length === 0) return null;
  return tools.map(({ type, name, description, parameters, strict }, index) => {
    if (type !== 'function') {
      throw new AppError('UNSUPPORTED_VALUE', `Tools of type "${type}" are not supported.`, {
        param: `tools[${index}].type`,
      });
    }
    if (name == null) throw missing(`tools[${index}].name`);
    return { type, function: { name, description, parameters, strict } };
  });
}

function toChoice({ tool_choice: choice }: ResponseRequest): ChatRequest['tool_choice'] {
  if (choice == null || typeof choice === 'string') return choice;
  const name = 'function' in choice ? (choice.function as { name: string }).name : (choice['name'] as string);
  return { type: 'function', function: { name } };
}

/** `text.format` is flat where `response_format` is nested. */
function toFormat({ text }: ResponseRequest): ChatRequest['response_format'] {
  const format = text?.format;
  if (format?.type !== 'json_schema') return format;
  return {
    type: 'json_schema',
    json_schema: { name: format['name'], schema: format['schema'], strict: format['strict'] },
  };
}

function missing(param: string): AppError {
  return new AppError('VALIDATION_ERROR', `Missing required parameter: '${param}'.`, {
    param,
    v1Code: 'missing_required_parameter',
  });
}
