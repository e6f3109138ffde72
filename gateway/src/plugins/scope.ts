// What a surface (/v1, /api) does about failures: one renderer, installed per encapsulated scope, never chosen by URL.
import type { FastifyError, FastifyInstance, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { AppError, toAppError } from '../errors.ts';
import { ClientGone } from '../inference/client-signal.ts';

export type Renderer = (error: AppError) => { status: number; headers: Record<string, string>; body: unknown };

const allMethods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
const clientClosedRequest = 499;

/** Call before any route of the scope is declared; call `seal` after the last one. */
export function openScope(app: FastifyInstance, render: Renderer): { seal: () => void } {
  app.setErrorHandler(async (thrown: FastifyError, request, reply) => {
    if (thrown instanceof ClientGone) return reply.status(clientClosedRequest).send();
    const error = invalidInput(thrown) ?? toAppError(thrown);
    const { status, headers, body } = render(error);
    if (status >= 500) request.log.error({ event: 'request:failed', code: error.code, err: thrown }, error.message);
    return reply.status(status).headers(headers).type('application/json').send(JSON.stringify(body));
  });
  return refuseOtherMethods(app);
}

function invalidInput(thrown: unknown): AppError | null {
  if (!hasZodFastifySchemaValidationErrors(thrown)) return null;
  const errors = thrown.validation.map(({ instancePath, message }) => ({
    path: instancePath.replace(/^\//, '').replaceAll('/', '.'),
    message: message ?? 'is not valid',
  }));
  const [first] = errors;
  const where = first && first.path !== '' ? `${first.path}: ` : '';
  return new AppError('VALIDATION_ERROR', `${where}${first?.message ?? 'The request is not valid.'}`, {
    details: { errors },
  });
}

/** A known path asked with another method is 405 with `Allow`, not 404. */
function refuseOtherMethods(app: FastifyInstance): { seal: () => void } {
  const known = new Map<string, Set<string>>();
  let isSealed = false;
  app.addHook('onRoute', ({ url, method }) => {
    if (isSealed) return;
    const methods = known.get(url) ?? new Set();
    for (const name of Array.isArray(method) ? method : [method]) methods.add(name.toUpperCase());
    known.set(url, methods);
  });
  return {
    seal() {
      isSealed = true;
      // A route rather than a not-found handler: the dashboard's catch-all would take what no route of ours matches.
      app.route({ url: '/*', method: [...allMethods], schema: { hide: true }, handler: refuseUnknown });
      for (const [url, methods] of known) {
        const others = allMethods.filter((method) => !methods.has(method));
        const path = url.slice(app.prefix.length);
        if (others.length === 0 || methods.has('OPTIONS') || path === '') continue;
        const allow = [...methods].join(', ');
        app.route({
          url: path,
          method: [...others],
          schema: { hide: true },
          handler: async (request) => {
            throw new AppError('METHOD_NOT_ALLOWED', `${request.method} is not allowed here; use ${allow}.`, {
              headers: { allow },
            });
          },
        });
      }
    },
  };
}

async function refuseUnknown(request: FastifyRequest): Promise<never> {
  const path = request.url.split('?')[0];
  throw new AppError('NOT_FOUND', `Unknown request URL: ${request.method} ${path}.`);
}
