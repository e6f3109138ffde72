// The dashboard on our own origin: the built files, or Vite while developing.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import httpProxy from '@fastify/http-proxy';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

const placeholder = `<!doctype html><meta charset="utf-8"><title>miLLM</title>
<p>miLLM is running. The dashboard is not built: run <code>npm run build -w web</code>.
The API is at <a href="/api/docs">/api/docs</a>.</p>`;

export async function serveWeb(app: FastifyInstance, config: { webDir: string; webDevUrl?: string | undefined }) {
  if (config.webDevUrl !== undefined) {
    await app.register(httpProxy, { upstream: config.webDevUrl, websocket: true });
    return;
  }
  const isBuilt = existsSync(join(config.webDir, 'index.html'));
  if (isBuilt) {
    await app.register(fastifyStatic, {
      root: config.webDir,
      wildcard: true,
      preCompressed: true, // SvelteKit's build writes .br and .gz beside each file
      setHeaders(response, path) {
        const isImmutable = path.includes('/_app/immutable/');
        void response.header('cache-control', isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache');
      },
    });
  }
  // Not async: a reply that is awaited adds listeners of its own to the response, past the number Node warns at.
  app.setNotFoundHandler((request, reply) => {
    const isPage = request.method === 'GET' && !/\.\w+$/.test(request.url.split('?')[0] ?? '');
    if (!isPage) void reply.status(404).type('text/plain').send('Not found');
    else if (isBuilt) void reply.type('text/html').sendFile('index.html');
    else void reply.type('text/html').send(placeholder);
  });
}
