// One database per test file, emptied between tests: a copy of the embedded template, or a PostgreSQL database of its own.
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, inject } from 'vitest';
import { openDatabase } from '../src/storage/database.ts';
import type { Database } from '../src/storage/database.ts';

export interface TestDatabase {
  readonly database: Database;
}

const tables = [
  'api_keys',
  'request_log',
  'downloads',
  'profile_features',
  'profiles',
  'server_settings',
  'desired_state',
  'feature_labels',
  'saes',
  'models',
];

export function useDatabase(): TestDatabase {
  let opened: { database: Database; remove: () => Promise<void> } | null = null;
  const current = () => {
    if (!opened) throw new Error('The database is not open yet.');
    return opened.database;
  };
  beforeAll(async () => {
    const url = inject('databaseUrl');
    opened = url === null ? await openEmbedded() : await openPostgres(url);
  });
  beforeEach(async () => {
    await current().client.$executeRawUnsafe(`TRUNCATE ${tables.join(', ')} CASCADE`);
  });
  afterAll(async () => {
    await opened?.database.close();
    await opened?.remove();
  });
  return {
    get database() {
      return current();
    },
  };
}

async function openEmbedded() {
  const dataDir = copyTemplate();
  const database = await openDatabase({ dataDir });
  return { database, remove: async () => rmSync(dataDir, { recursive: true, force: true }) };
}

/** A data directory that opens in a moment. */
export function copyTemplate(): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'millm-data-'));
  cpSync(join(inject('templateDir'), 'db', 'cluster'), join(dataDir, 'db', 'cluster'), { recursive: true });
  return dataDir;
}

async function openPostgres(adminUrl: string) {
  const name = `millm_test_${process.pid}`;
  const run = async (sql: string) => {
    const admin = new pg.Client({ connectionString: adminUrl });
    await admin.connect();
    await admin.query(sql);
    await admin.end();
  };
  await run(`DROP DATABASE IF EXISTS ${name}`);
  await run(`CREATE DATABASE ${name}`);
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  const database = await openDatabase({ databaseUrl: url.href, dataDir: tmpdir() });
  return { database, remove: () => run(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}
