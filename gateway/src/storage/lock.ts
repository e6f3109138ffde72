// One process per data directory: PGlite itself takes no lock, and two writers corrupt it.
// The lock is a file beside the directory holding a pid and that process's start time, so a recycled pid is no owner.
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export class LockedError extends Error {}

export function acquireLock(path: string): () => void {
  mkdirSync(dirname(path), { recursive: true });
  const mine = `${process.pid} ${startTime(process.pid)}`;
  for (let attempt = 0; attempt < 10; attempt += 1) {
    if (tryCreate(path, mine)) return () => release(path, mine);
    const owner = readOwner(path);
    if (owner === null) continue;
    if (isAlive(owner)) {
      throw new LockedError(
        `The data directory is in use by process ${owner.pid} (${path}). Stop it, or set MILLM_DATA_DIR.`,
      );
    }
    retire(path, owner.text);
  }
  throw new LockedError(`Could not take the lock ${path}.`);
}

function tryCreate(path: string, content: string): boolean {
  try {
    const file = openSync(path, 'wx', 0o600);
    writeSync(file, content);
    closeSync(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Rename, then look again: of two processes that find the same stale lock, only one removes that very file. */
function retire(path: string, seen: string): void {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  if (readFileSync(aside, 'utf8') === seen) rmSync(aside);
  else renameSync(aside, path);
}

function readOwner(path: string): { pid: number; started: string; text: string } | null {
  try {
    const text = readFileSync(path, 'utf8');
    const [pid, started = ''] = text.split(' ');
    return { pid: Number(pid), started, text };
  } catch {
    return null;
  }
}

function isAlive(owner: { pid: number; started: string }): boolean {
  if (!Number.isInteger(owner.pid) || owner.pid <= 0) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  const started = startTime(owner.pid);
  return started === '' || owner.started === '' || started === owner.started;
}

/** Clock ticks since boot, from /proc; empty where there is no /proc. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function release(path: string, mine: string): void {
  if (readOwner(path)?.text === mine) rmSync(path, { force: true });
}
