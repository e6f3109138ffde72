// PGlite lives here, off the gateway's event loop, and speaks the PostgreSQL protocol on a Unix socket.
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';

const { clusterDir, socketPath } = workerData as { clusterDir: string; socketPath: string };

await prepare();
const db = await PGlite.create(clusterDir);
rmSync(socketPath, { force: true });
const server = new PGLiteSocketServer({ db, path: socketPath, maxConnections: 8 });
await server.start();
chmodSync(socketPath, 0o600);

parentPort?.once('message', () => {
  void (async () => {
    await server.stop();
    await db.close();
    parentPort?.postMessage('closed');
    parentPort?.close();
  })();
});
parentPort?.postMessage('ready');

/** A kill during initialisation leaves a folder that never opens again, so it happens beside, then a rename. */
async function prepare(): Promise<void> {
  mkdirSync(dirname(clusterDir), { recursive: true, mode: 0o700 });
  if (existsSync(clusterDir)) return;
  const beside = `${clusterDir}.new`;
  rmSync(beside, { recursive: true, force: true });
  const fresh = await PGlite.create(beside);
  await fresh.close();
  renameSync(beside, clusterDir);
}
