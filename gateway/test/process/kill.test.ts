// A real gateway, killed at random moments while profiles and labels are written by several clients at once: whatever was
// acknowledged is there, nothing is half there, and it starts again without help. MILLM_TEST_KILLS sets how often.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { manifestPath, until } from '../build-test-app.ts';
import { copyTemplate } from '../database.ts';

const server = fileURLToPath(new URL('../../src/server.ts', import.meta.url));
const kills = Number(process.env['MILLM_TEST_KILLS'] ?? 3);
const postgres = process.env['MILLM_TEST_DATABASE_URL'];
const writers = 4;

/** What a profile or a label may be: gone, or of a version, in which every one of its features has that strength. */
type Version = number | 'gone';

interface Gateway {
  url: string;
  child: ChildProcess;
  kill(): Promise<void>;
}

async function start(env: Record<string, string>): Promise<Gateway> {
  const child = spawn(process.execPath, [server], {
    env: {
      PATH: process.env['PATH'],
      PORT: '0',
      INFERENCE_URL: 'http://127.0.0.1:9',
      MILLM_BOOTSTRAP: manifestPath,
      ...env,
    },
  });
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output += data.toString()));
  const exited = once(child, 'exit');
  onTestFinished(() => void child.kill('SIGKILL'));
  const address = () => /listening on (http:\/\/[\d.:]+)/.exec(output)?.[1];
  await until(() => address() !== undefined || child.exitCode !== null, 60_000);
  const url = address();
  if (url === undefined) throw new Error(`It did not start: ${output}`);
  return {
    url,
    child,
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Each name belongs to one writer, so what may be stored under it is known exactly. */
class Ledger {
  readonly acknowledged = new Map<string, Version>();
  readonly ids = new Map<string, string>();
  readonly asked = new Map<string, Version>();
  writes = 0;

  allows(name: string, found: Version): boolean {
    return found === (this.acknowledged.get(name) ?? 'gone') || found === this.asked.get(name);
  }

  acknowledge(name: string, version: Version): void {
    this.acknowledged.set(name, version);
    this.asked.delete(name);
    this.writes += 1;
  }
}

const featuresOf = (version: number) =>
  Array.from({ length: 1 + (version % 7) }, (_, index) => ({ index, strength: version }));

async function ask(gateway: Gateway, method: string, path: string, body?: unknown) {
  const response = await fetch(`${gateway.url}/api${path}`, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  const answer = (await response.json()) as { success: boolean; data: { id?: string; profile?: { id: string } } };
  if (!answer.success) throw new Error(JSON.stringify(answer));
  return answer.data;
}

async function write(gateway: Gateway, ledger: Ledger, name: string, version: number): Promise<void> {
  const id = ledger.ids.get(name);
  const isThere = ledger.acknowledged.get(name) !== undefined && ledger.acknowledged.get(name) !== 'gone';
  const next: Version = isThere && version % 5 === 0 ? 'gone' : version;
  const features = featuresOf(version);
  ledger.asked.set(name, next);
  const call = (method: string, path: string, body?: unknown) => ask(gateway, method, `/profiles${path}`, body);
  if (next === 'gone') await call('DELETE', `/${id}`);
  else if (isThere) await call('PATCH', `/${id}`, { features });
  else if (version % 2 === 0) ledger.ids.set(name, (await call('POST', '', { name, features })).id ?? '');
  else ledger.ids.set(name, (await call('POST', '/import?on_conflict=fail', { name, features })).profile?.id ?? '');
  ledger.acknowledge(name, next);
}

async function typeLabel(gateway: Gateway, ledger: Ledger, index: number, version: number): Promise<void> {
  ledger.asked.set(`label ${index}`, version);
  await ask(gateway, 'PUT', `/saes/demo/features/${index}/label`, { label: `version ${version}` });
  ledger.acknowledge(`label ${index}`, version);
}

async function writeUntilDead(gateway: Gateway, ledger: Ledger, writer: number): Promise<void> {
  try {
    for (let turn = 0; ; turn += 1) {
      const version = 1 + Math.floor(Math.random() * 250);
      if (turn % 4 === 3) await typeLabel(gateway, ledger, 8 * writer + (turn % 8), version);
      else await write(gateway, ledger, `writer ${writer} profile ${turn % 3}`, version);
    }
  } catch (error) {
    if (gateway.child.signalCode !== null || gateway.child.killed) return; // the connection went with the process
    throw error;
  }
}

/** Compares what is stored with what may be, and takes what is there as the new truth. */
async function check(gateway: Gateway, ledger: Ledger): Promise<void> {
  const get = async (path: string) => (await ask(gateway, 'GET', path)) as never;
  const found = new Map<string, Version>();
  const { items }: { items: { index: number; label: string | null }[] } = await get('/saes/demo/features?limit=500');
  for (const { index, label } of items) {
    const [, version] = /^version (\d+)$/.exec(label ?? '') ?? [];
    if (version !== undefined) found.set(`label ${index}`, Number(version));
  }
  for (const { id, name } of (await get('/profiles')) as { id: string; name: string }[]) {
    const profile: { feature_count: number; features: { index: number; strength: number }[] } = await get(
      `/profiles/${id}`,
    );
    const version = profile.features[0]?.strength ?? 0;
    expect([name, profile.feature_count, profile.features.map(({ index, strength }) => ({ index, strength }))]).toEqual(
      [name, featuresOf(version).length, featuresOf(version)],
    );
    found.set(name, version);
    ledger.ids.set(name, id);
  }
  for (const name of new Set([...ledger.acknowledged.keys(), ...ledger.asked.keys(), ...found.keys()])) {
    const version = found.get(name) ?? 'gone';
    expect([name, version, ledger.allows(name, version)]).toEqual([name, version, true]);
    ledger.acknowledged.set(name, version);
  }
  ledger.asked.clear();
}

async function killAgainAndAgain(env: Record<string, string>): Promise<void> {
  const ledger = new Ledger();
  for (let round = 0; round < kills; round += 1) {
    const gateway = await start(env);
    await check(gateway, ledger);
    const writing = Promise.all(
      Array.from({ length: writers }, (_, writer) => writeUntilDead(gateway, ledger, writer)),
    );
    await Promise.race([writing, new Promise((resolve) => setTimeout(resolve, Math.random() * 1_500))]);
    await gateway.kill();
    await writing;
  }
  const last = await start(env);
  await check(last, ledger);
  expect(ledger.writes).toBeGreaterThan(0);
  console.log(`${kills} kills, ${ledger.writes} acknowledged writes, none lost`);
  await last.kill();
}

describe('kill -9 under writes', () => {
  const timeout = 60_000 + kills * 20_000;

  it('loses nothing in the embedded database', { timeout }, async () => {
    const dataDir = copyTemplate();
    onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
    await killAgainAndAgain({ MILLM_DATA_DIR: dataDir });
  });

  it.skipIf(postgres === undefined)('loses nothing in PostgreSQL', { timeout }, async () => {
    const name = `millm_kill_${process.pid}`;
    const admin = async (sql: string) => {
      const client = new pg.Client({ connectionString: postgres });
      await client.connect();
      await client.query(sql);
      await client.end();
    };
    await admin(`CREATE DATABASE ${name}`);
    onTestFinished(() => admin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
    const url = new URL(postgres ?? '');
    url.pathname = `/${name}`;
    await killAgainAndAgain({ DATABASE_URL: url.href, MILLM_DATA_DIR: tmpdir() });
  });
});
