// Chat chunks → the events of a response, in the order the official helpers need. Pure but for fresh ids.
import type { LabelledEntry } from '../../features/service.ts';
import type { ChatChunk, ToolCallDelta } from '../chunks.ts';
import { newCall, newMessage, newReasoning, outputText, toResponseUsage } from './items.ts';
import type { CallItem, MessageItem, OutputItem, ReasoningItem, ResponseBody } from './items.ts';

export interface ResponseEvent {
  type: string;
  sequence_number: number;
  response?: ResponseBody;
  [field: string]: unknown;
}

type Unnumbered = Omit<ResponseEvent, 'sequence_number'> & { type: string };

export async function* responseEvents(
  head: ResponseBody,
  chunks: AsyncIterable<ChatChunk>,
): AsyncGenerator<ResponseEvent> {
  let sequence = 0;
  for await (const event of unnumbered(head, chunks)) {
    yield { ...event, type: event.type, sequence_number: sequence };
    sequence += 1;
  }
}

async function* unnumbered(head: ResponseBody, chunks: AsyncIterable<ChatChunk>): AsyncGenerator<Unnumbered> {
  const output = outputBuilder();
  const activations: LabelledEntry[] = [];
  let isCut = false;
  let usage: ResponseBody['usage'] = null;
  yield { type: 'response.created', response: head };
  yield { type: 'response.in_progress', response: head };
  for await (const chunk of chunks) {
    if (chunk.usage) usage = toResponseUsage(chunk.usage);
    for (const { delta, finish_reason, millm } of chunk.choices) {
      if (millm) activations.push(...millm.activations);
      if (delta.reasoning_content !== undefined) yield* output.reasoning(delta.reasoning_content);
      if (delta.content) yield* output.text(delta.content);
      for (const call of delta.tool_calls ?? []) yield* output.call(call);
      isCut ||= finish_reason === 'length';
    }
  }
  yield* output.end(isCut);
  // `completed` also when it was cut: its status says so, and the official helpers wait for this very event.
  yield {
    type: 'response.completed',
    response: {
      ...head,
      status: isCut ? 'incomplete' : 'completed',
      incomplete_details: isCut ? { reason: 'max_output_tokens' } : null,
      output: output.items,
      usage,
      ...(activations.length > 0 && { millm: { activations } }),
    },
  };
}

/** One item is open at a time; opening the next closes the one before. */
function outputBuilder() {
  const items: OutputItem[] = [];
  const place = () => ({ output_index: items.length - 1 });

  function* open(item: OutputItem): Generator<Unnumbered> {
    yield* close('completed');
    items.push(item);
    yield { type: 'response.output_item.added', ...place(), item: structuredClone(item) };
  }

  function* close(status: 'completed' | 'incomplete'): Generator<Unnumbered> {
    const item = items.at(-1);
    if (!item || isClosed(item)) return;
    if (item.type === 'message') yield* closeMessage(item);
    else if (item.type === 'function_call') {
      const { id, name, arguments: args } = item;
      yield { type: 'response.function_call_arguments.done', ...place(), item_id: id, name, arguments: args };
    } else yield* closeReasoning(item);
    if (item.type !== 'reasoning') item.status = status;
    closed.add(item);
    yield { type: 'response.output_item.done', ...place(), item: structuredClone(item) };
  }

  const closed = new Set<OutputItem>();
  const isClosed = (item: OutputItem) => closed.has(item);

  function* closeMessage(item: MessageItem): Generator<Unnumbered> {
    const part = item.content[0] ?? outputText('');
    const where = { ...place(), item_id: item.id, content_index: 0 };
    yield { type: 'response.output_text.done', ...where, text: part.text, logprobs: [] };
    yield { type: 'response.content_part.done', ...where, part: { ...part } };
  }

  function* closeReasoning(item: ReasoningItem): Generator<Unnumbered> {
    const text = item.content[0]?.text ?? '';
    yield { type: 'response.reasoning_text.done', ...place(), item_id: item.id, content_index: 0, text };
  }

  function* openMessage(): Generator<Unnumbered, MessageItem> {
    const last = items.at(-1);
    if (last?.type === 'message' && !isClosed(last)) return last;
    const item = newMessage();
    yield* open(item);
    const part = outputText('');
    item.content.push(part);
    yield {
      type: 'response.content_part.added',
      ...place(),
      item_id: item.id,
      content_index: 0,
      part: { ...part },
    };
    return item;
  }

  return {
    items,

    *text(delta: string): Generator<Unnumbered> {
      const item = yield* openMessage();
      const part = item.content[0];
      if (part) part.text += delta;
      yield { type: 'response.output_text.delta', ...place(), item_id: item.id, content_index: 0, delta, logprobs: [] };
    },

    *reasoning(delta: string): Generator<Unnumbered> {
      let item = items.at(-1);
      if (item?.type !== 'reasoning') {
        item = newReasoning();
        yield* open(item);
        item.content.push({ type: 'reasoning_text', text: '' });
      }
      const [part] = item.content;
      if (part) part.text += delta;
      yield { type: 'response.reasoning_text.delta', ...place(), item_id: item.id, content_index: 0, delta };
    },

    *call({ id, function: { name = '', arguments: delta } }: ToolCallDelta): Generator<Unnumbered> {
      if (id !== undefined) yield* open(newCall(id, name));
      const item = items.at(-1) as CallItem;
      item.arguments += delta;
      if (delta === '') return;
      yield { type: 'response.function_call_arguments.delta', ...place(), item_id: item.id, delta };
    },

    /** An answer without a word is still a message. */
    *end(isCut: boolean): Generator<Unnumbered> {
      if (!items.some((item) => item.type !== 'reasoning')) yield* openMessage();
      yield* close(isCut ? 'incomplete' : 'completed');
    },
  };
}
