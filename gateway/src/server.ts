// The process: settings → database → application → listen → graceful close.
import { buildApp } from './app.ts';
import { ConfigError, parseConfig } from './config.ts';
import type { Config } from './config.ts';
import { createLogger } from './log.ts';
import { openDatabase } from './storage/database.ts';
import { LockedError } from './storage/lock.ts';

/** For what comes after the last request: sockets, streams, the database. */
const closingMs = 10_000;
const lastBytesMs = 500;
const config = readConfig();
const log = createLogger(config);

try {
  await serve();
} catch (error) {
  if (error instanceof LockedError) log.fatal({ event: 'gateway:refused' }, error.message);
  else if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') {
    log.fatal({ event: 'gateway:refused' }, `Port ${config.port} on ${config.host} is in use. Set PORT to another.`);
  } else log.fatal({ event: 'gateway:failed', err: error }, 'the gateway could not start');
  process.exit(1);
}

async function serve(): Promise<void> {
  const database = await openDatabase(config);
  const app = await buildApp({ config, database, log });
  database.onFailure((error) => {
    log.fatal({ event: 'database:failed', err: error }, 'the database is gone');
    process.exit(1);
  });
  let isClosing = false;
  const close = (signal: string) => {
    if (isClosing) return;
    isClosing = true;
    log.info({ event: 'gateway:closing', signal }, 'closing');
    setTimeout(() => process.exit(1), config.shutdownGraceMs + closingMs).unref();
    // A connection whose stream ends now stays open for reuse, and would keep the server from closing.
    setInterval(() => app.server.closeIdleConnections(), 100).unref();
    void app
      .drain(config.shutdownGraceMs)
      .then(() => {
        // All are answered. What is left sends nothing: browsers keep a connection ready that was never used.
        setTimeout(() => app.server.closeAllConnections(), lastBytesMs).unref();
        return app.close();
      })
      .then(() => database.close())
      .then(() => process.exit(0));
  };
  process.once('SIGTERM', close).once('SIGINT', close);
  await app.listen({
    host: config.host,
    port: config.port,
    listenTextResolver: (address) => `listening on ${address}`,
  });
}

function readConfig(): Config {
  try {
    return parseConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(2);
  }
}
