import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LockedError, acquireLock } from '../../src/storage/lock.ts';

function lockPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'millm-lock-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 'db.lock');
}

describe('lock', () => {
  it('refuses a second owner and names the first', () => {
    const path = lockPath();
    const release = acquireLock(path);
    expect(() => acquireLock(path)).toThrow(LockedError);
    expect(() => acquireLock(path)).toThrow(String(process.pid));
    release();
    acquireLock(path)();
  });

  it('takes over from a dead process', () => {
    const path = lockPath();
    writeFileSync(path, '999999 1');
    acquireLock(path);
    expect(readFileSync(path, 'utf8').startsWith(`${process.pid} `)).toBe(true);
  });

  it('takes over from a living process that only recycled the pid', () => {
    const path = lockPath();
    writeFileSync(path, `${process.pid} 1`);
    expect(() => acquireLock(path)).not.toThrow();
  });

  it('leaves the lock of its successor alone', () => {
    const path = lockPath();
    const release = acquireLock(path);
    writeFileSync(path, '1 1');
    release();
    expect(readFileSync(path, 'utf8')).toBe('1 1');
  });
});
