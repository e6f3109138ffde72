import type { FastifyPluginAsync } from 'fastify';
import { AppError, renderOpenAi } from '../../errors.ts';
import { clientSignal } from '../../inference/client-signal.ts';
import type { ChatService } from '../chat.ts';
import { newId, unixSeconds } from '../generation.ts';
import { extensionHeaders, reportUnknownFields, sendEvents } from '../reply.ts';
import type { Framing } from '../stream.ts';
import { parseBody } from '../validate.ts';
import { responseEvents } from './events.ts';
import type { ResponseEvent } from './events.ts';
import type { ResponseBody } from './items.ts';
import { responseRequest } from './schemas.ts';
import type { ResponseRequest } from './schemas.ts';
import { toChatRequest } from './to-chat.ts';

const named = (type: string, event: unknown) => `event: ${type}\ndata: ${JSON.stringify(event)}\n\n`;

const responseFraming: Framing<ResponseEvent> = {
  chunk: (event) => named(event.type, event),
  failure: (error) => {
    const { body } = renderOpenAi(error);
    const { code, message, param } = body.error;
    return named('error', { type: 'error', code, message, param, ...body });
  },
  end: '',
};

export interface ResponseOptions {
  chat: ChatService;
  keepaliveMs: number;
  isStrict: boolean;
}

export const responseRoutes: FastifyPluginAsync<ResponseOptions> = async (app, { chat, keepaliveMs, isStrict }) => {
  app.post(
    '/responses',
    { schema: { tags: ['openai'], summary: 'Answer, in the words of the Responses API', body: responseRequest } },
    async (request, reply) => {
      const body = parseBody(responseRequest, request.body);
      reportUnknownFields(responseRequest, request, reply, isStrict);
      const caller = { requestId: request.id, signal: clientSignal(reply) };
      const started = await chat.start(toChatRequest(body), caller).catch((error: unknown) => {
        throw inOwnWords(error);
      });
      extensionHeaders(reply, started);
      const events = responseEvents(newResponse(body), started.chunks);
      return body.stream === true
        ? sendEvents(request, reply, events, responseFraming, keepaliveMs)
        : lastResponse(events);
    },
  );
};

async function lastResponse(events: AsyncIterable<ResponseEvent>): Promise<ResponseBody> {
  let last: ResponseBody | undefined;
  for await (const event of events) last = event.response ?? last;
  if (!last) throw new Error('A response without a single event.');
  return last;
}

/** The client wrote `input`, not `messages`. */
function inOwnWords(error: unknown): unknown {
  if (!(error instanceof AppError) || error.param === null) return error;
  const param = error.param.replace(/^messages\b/, 'input').replace(/^response_format\b/, 'text.format');
  return param === error.param ? error : error.withParam(param);
}

function newResponse(request: ResponseRequest): ResponseBody {
  return {
    id: newId('resp').replace('-', '_'),
    object: 'response',
    created_at: unixSeconds(),
    status: 'in_progress',
    model: request.model,
    output: [],
    usage: null,
    error: null,
    incomplete_details: null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    metadata: request.metadata ?? {},
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: request.reasoning?.effort ?? null, summary: null },
    store: false,
    temperature: request.temperature ?? null,
    text: { format: request.text?.format ?? { type: 'text' } },
    tool_choice: request.tool_choice ?? 'auto',
    tools: request.tools ?? [],
    top_p: request.top_p ?? null,
    truncation: request.truncation ?? 'disabled',
  };
}
