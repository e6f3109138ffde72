// Public chat messages → what the chat template reads. Refuses what a template cannot say.
import { AppError } from '../errors.ts';
import type { ChatMessage } from './schemas.ts';

type TemplateMessage = Record<string, unknown>;

export function toTemplateMessages(messages: readonly ChatMessage[], isContinued: boolean): TemplateMessage[] {
  const last = messages.at(-1);
  if (last?.role === 'assistant' && messages.at(-2)?.role === 'assistant') {
    refuse(`messages[${messages.length - 1}]`, 'A conversation cannot end with two assistant messages.');
  }
  return messages.map((message, index) => {
    const isTail = index === messages.length - 1;
    return toTemplateMessage(message, `messages[${index}]`, isTail && isContinued ? '' : '\n');
  });
}

function toTemplateMessage(message: ChatMessage, path: string, joiner: string): TemplateMessage {
  const { role, name, tool_calls, tool_call_id } = message;
  if (role === 'tool' && tool_call_id == null) missing(`${path}.tool_call_id`);
  if (message.content == null && !mayBeEmpty(message)) missing(`${path}.content`);
  const reasoning = message.reasoning_content ?? message.reasoning ?? message.reasoning_text;
  return {
    role: role === 'developer' ? 'system' : role,
    content: contentText(message.content ?? message.refusal ?? null, `${path}.content`, joiner),
    ...(name != null && { name }),
    ...(tool_call_id != null && { tool_call_id }),
    ...(reasoning != null && { reasoning_content: reasoning }),
    ...(tool_calls != null && tool_calls.length > 0 && { tool_calls: tool_calls.map(toTemplateCall) }),
  };
}

const mayBeEmpty = (message: ChatMessage) =>
  message.role === 'assistant' && ((message.tool_calls?.length ?? 0) > 0 || message.refusal != null);

function contentText(content: NonNullable<ChatMessage['content']> | null, path: string, joiner: string): string {
  if (content === null) return '';
  if (typeof content === 'string') return content;
  return content
    .map((part, index) => {
      if (part.type === 'refusal' && typeof part['refusal'] === 'string') return part['refusal'];
      if (part.type !== 'text') {
        throw new AppError('UNSUPPORTED_VALUE', `Content of type "${part.type}" is not supported by this model.`, {
          param: `${path}[${index}]`,
        });
      }
      return part.text ?? missing(`${path}[${index}].text`);
    })
    .join(joiner);
}

/** Templates want the arguments as an object; the API carries them as a JSON string. */
function toTemplateCall(call: NonNullable<ChatMessage['tool_calls']>[number]) {
  const { name, arguments: given } = call.function;
  return { ...(call.id != null && { id: call.id }), type: 'function', function: { name, arguments: parsed(given) } };
}

function parsed(given: string | Record<string, unknown>): unknown {
  if (typeof given !== 'string') return given;
  try {
    return JSON.parse(given);
  } catch {
    return given;
  }
}

function missing(param: string): never {
  throw new AppError('VALIDATION_ERROR', `Missing required parameter: '${param}'.`, {
    param,
    v1Code: 'missing_required_parameter',
  });
}

function refuse(param: string, message: string): never {
  throw new AppError('VALIDATION_ERROR', message, { param });
}
