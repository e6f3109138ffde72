// An embedded database takes seconds to create: it is made once per run, and every test file copies it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { openDatabase } from '../src/storage/database.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    templateDir: string;
    databaseUrl: string | null;
  }
}

export default async function setup(project: TestProject): Promise<() => void> {
  const templateDir = mkdtempSync(join(tmpdir(), 'millm-template-'));
  const database = await openDatabase({ dataDir: templateDir });
  await database.close();
  project.provide('templateDir', templateDir);
  return () => rmSync(templateDir, { recursive: true, force: true });
}
