// What a database says when it is not there, or takes no such text. Knows messages of pg and codes of Prisma.
const codes = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028']);
const words =
  /Connection terminated|connect ECONNREFUSED|ECONNRESET|EPIPE|timeout exceeded when trying to connect|Query read timeout|terminating connection|the database system is/;

export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error) || !('clientVersion' in error)) return false;
  const { code, message } = error as Error & { code?: unknown };
  return typeof code === 'string' ? codes.has(code) : words.test(message);
}

/** PostgreSQL stores every character but NUL. */
export function isNulRefused(error: unknown): boolean {
  if (!(error instanceof Error) || !('clientVersion' in error)) return false;
  const { message, meta } = error as Error & { meta?: unknown };
  return /invalid byte sequence for encoding|unsupported Unicode escape/.test(message + JSON.stringify(meta ?? {}));
}
