// The embedded database: lock, worker, socket. Callers see a connection address and a close().
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { acquireLock } from './lock.ts';

export interface EmbeddedDatabase {
  /** Folder of the socket, as `host` of a PostgreSQL client. */
  host: string;
  close(): Promise<void>;
  /** Called when the worker dies by itself. */
  onFailure(listener: (error: Error) => void): void;
}

/** The longest path a Unix socket may have on every system. */
const longestSocketPath = 100;

export async function startPglite(dataDir: string): Promise<EmbeddedDatabase> {
  const folder = join(dataDir, 'db');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  const release = acquireLock(join(dataDir, 'db.lock'));
  const socketPath = chooseSocketPath(folder);
  const listeners: ((error: Error) => void)[] = [];
  let closing = false;

  const worker = new Worker(new URL('./pglite-worker.ts', import.meta.url), {
    workerData: { clusterDir: join(folder, 'cluster'), socketPath },
  });
  try {
    await nextMessage(worker);
  } catch (error) {
    release();
    throw error;
  }
  worker.on('error', (error) => listeners.forEach((listener) => listener(error as Error)));
  worker.on('exit', () => {
    if (!closing) listeners.forEach((listener) => listener(new Error('The embedded database stopped.')));
  });

  return {
    host: dirname(socketPath),
    onFailure: (listener) => void listeners.push(listener),
    async close() {
      closing = true;
      worker.postMessage('close');
      await nextMessage(worker);
      await worker.terminate();
      rmSync(socketPath, { force: true });
      release();
    },
  };
}

function chooseSocketPath(folder: string): string {
  const name = '.s.PGSQL.5432';
  const path = join(folder, name);
  return path.length <= longestSocketPath ? path : join(mkdtempSync(join(tmpdir(), 'millm-db-')), name);
}

function nextMessage(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      worker.off('message', onMessage).off('error', onError).off('exit', onExit);
      finish();
    };
    const onMessage = () => settle(resolve);
    const onError = (error: unknown) => settle(() => reject(error as Error));
    const onExit = () => settle(() => reject(new Error('The embedded database stopped while starting or closing.')));
    worker.on('message', onMessage).on('error', onError).on('exit', onExit);
  });
}
