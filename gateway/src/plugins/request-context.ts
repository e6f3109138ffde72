// One id per request, on every answer and forwarded to the sidecar; one log line per request.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

const acceptable = /^[\w.:-]{1,128}$/;

export function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && acceptable.test(given) ? given : `req-${randomUUID()}`;
}

type AnswerListener = (request: FastifyRequest, reply: FastifyReply, status: number) => void;

/** One listener of the response for all who wait for it. */
const waiting = new WeakMap<object, AnswerListener[]>();

/** As nginx has it: the client closed the connection before its answer was complete. */
const clientClosedRequest = 499;

/**
 * Calls once for every request, when its answer is out or nobody is left to take it: Fastify's `onResponse` is not called
 * for a client that leaves in the middle, nor for an answer that Socket.IO gives.
 */
export function onAnswered(app: FastifyInstance, listener: AnswerListener): void {
  app.addHook('onRequest', async (request, reply) => {
    const others = waiting.get(reply.raw);
    if (others) return void others.push(listener);
    const listeners = [listener];
    waiting.set(reply.raw, listeners);
    reply.raw.once('close', () => {
      const status = reply.raw.writableFinished ? reply.raw.statusCode : clientClosedRequest;
      for (const tell of listeners) tell(request, reply, status);
    });
  });
}

export function addRequestContext(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    void reply.header('x-request-id', request.id);
  });
  onAnswered(app, (request, reply, status) => {
    const path = request.url.split('?')[0] ?? '';
    const fields = {
      event: 'request',
      method: request.method,
      path,
      status,
      duration_ms: Math.round(reply.elapsedTime * 10) / 10,
    };
    const isQuiet = !path.startsWith('/v1') && status < 400;
    request.log[isQuiet ? 'debug' : 'info'](fields, 'request');
  });
}
