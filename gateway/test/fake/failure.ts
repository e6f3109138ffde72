// What the scripted sidecar refuses, in the contract's words.
import type { Schemas } from '../../src/inference/contract.ts';

export class Failure extends Error {
  readonly body: Schemas['ErrorBody'];
  constructor(body: Schemas['ErrorBody']) {
    super(body.message);
    this.body = body;
  }
}

export function failure(code: Schemas['ErrorCode'], message: string, details: Record<string, unknown> = {}): Failure {
  return new Failure({ code, message, param: null, details });
}

export const toBody = (error: unknown): Schemas['ErrorBody'] =>
  error instanceof Failure ? error.body : { code: 'INTERNAL_ERROR', message: String(error), param: null, details: {} };
