// What browsers are told about our pages: run only our scripts, show us in nobody's frame, guess no content types.
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import helmet from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

export interface SecurityHeaderOptions {
  webDir: string;
  /** Vite's own scripts are inline and change: no policy while developing. */
  webDevUrl?: string | undefined;
}

export async function addSecurityHeaders(app: FastifyInstance, { webDir, webDevUrl }: SecurityHeaderOptions) {
  await app.register(helmet, {
    contentSecurityPolicy: webDevUrl === undefined && {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        scriptSrc: ["'self'", inlineScriptHashes(join(webDir, 'index.html'))],
        // Positions of charts and lists are style attributes.
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:', 'blob:'],
        fontSrc: ["'self'", 'data:'],
        workerSrc: ["'self'", 'blob:'],
        connectSrc: ["'self'"],
        objectSrc: ["'none'"],
        baseUri: ["'self'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    // Whether there is TLS in front of us is known there, not here.
    strictTransportSecurity: false,
  });
}

/**
 * The built page has two inline scripts: the theme before the first paint, and SvelteKit's start. Their hashes are those of the
 * page as it lies there now, which may be built again while we run.
 */
function inlineScriptHashes(page: string): () => string {
  let readAt: number | undefined;
  let hashes = '';
  return () => {
    try {
      const changedAt = statSync(page).mtimeMs;
      if (changedAt !== readAt) hashes = hashesOf(readFileSync(page, 'utf8'));
      readAt = changedAt;
      return hashes;
    } catch {
      return ''; // not built, or just being written
    }
  };
}

function hashesOf(page: string): string {
  const scripts = page.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g);
  return [...scripts]
    .map(([, text = '']) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`)
    .join(' ');
}
