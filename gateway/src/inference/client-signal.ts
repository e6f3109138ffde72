import type { FastifyReply } from 'fastify';

/**
 * Aborts when the client goes away before its answer is complete, or when the server has no time left to complete it. It listens to the response: `request.signal` and
 * `request.raw`'s `close` fire as soon as a body has been read.
 */
export function clientSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) controller.abort(new ClientGone());
  });
  return AbortSignal.any([controller.signal, reply.server.stopSignal]);
}

export class ClientGone extends Error {
  constructor() {
    super('The client closed the connection.');
    this.name = 'ClientGone';
  }
}
