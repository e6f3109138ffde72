// How long management calls take with a full catalogue: `node bench/management.ts [--postgres URL] [--calls 300]`.
// 200 models, 500 profiles and 50 000 labels are put into an empty database; the sidecar is the scripted one.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { buildApp } from '../src/app.ts';
import { parseConfig } from '../src/config.ts';
import { featureRepository } from '../src/features/repository.ts';
import { createLogger } from '../src/log.ts';
import { openDatabase } from '../src/storage/database.ts';
import type { Database } from '../src/storage/database.ts';
import { startFakeInference } from '../test/fake-inference.ts';

const { values } = parseArgs({
  options: { postgres: { type: 'string' }, calls: { type: 'string', default: '300' } },
});
const calls = Number(values.calls);
const size = { models: 200, profiles: 500, saes: [16_384, 16_384, 16_384, 848] };
const words =
  'harbour recipe question formal joke number colour winter legal verb music river code doubt praise city'.split(' ');
const pick = (from: number) => words[from % words.length] ?? '';

async function fill({ client }: Database): Promise<void> {
  const models = Array.from({ length: size.models }, (_, n) => ({
    ...{
      id: `org--model-${n}`,
      name: `org/model-${n}`,
      repoId: `org/model-${n}`,
      path: `/cache/${n}`,
      aliases: [],
      updatedAt: new Date(),
    },
  }));
  await client.model.createMany({ data: models });
  const features = featureRepository(client);
  for (const [n, count] of size.saes.entries()) {
    await client.sae.create({ data: { id: `sae-${n}`, path: `/cache/sae-${n}`, dIn: 576, dSae: count, layer: n } });
    const rows = Array.from({ length: count }, (_, index) => ({
      index,
      label: `${pick(index)} and ${pick(index * 7 + n)} in ${pick(index >> 4)} number ${index}`,
      density: (index % 100) / 1_000,
      max_activation: index % 40,
      promoted: Array.from({ length: 10 }, (_, k) => pick(index + k)),
      contexts: Array.from({ length: 3 }, () => ({
        tokens: Array.from({ length: 20 }, (_, k) => pick(index * 3 + k)),
        values: Array.from({ length: 20 }, (_, k) => k / 7),
        peak: 3,
      })),
    }));
    await features.replace(`sae-${n}`, rows, 'bench');
  }
  for (let n = 0; n < size.profiles; n += 1) {
    const entries = Array.from({ length: 8 }, (_, position) => ({
      position,
      index: n + position,
      strength: position - 3.5,
      label: pick(n),
    }));
    await client.profile.create({
      data: {
        id: `prof_${n}`,
        name: `profile ${n}`,
        saeId: 'sae-0',
        featureCount: 8,
        features: { createMany: { data: entries } },
      },
    });
  }
}

const random = (below: number) => Math.floor(Math.random() * below);

let labelled = false;
type Call = [name: string, request: () => { path: string; method?: string; body?: unknown }];
const measured: Call[] = [
  ['list models', () => ({ path: '/models' })],
  ['get model', () => ({ path: `/models/org--model-${random(size.models)}` })],
  ['list SAEs', () => ({ path: '/saes' })],
  ['list profiles', () => ({ path: '/profiles' })],
  ['get profile', () => ({ path: `/profiles/prof_${random(size.profiles)}` })],
  [
    'change profile',
    () => ({ path: `/profiles/prof_${random(size.profiles)}`, method: 'PATCH', body: { intensity: Math.random() } }),
  ],
  ['export profile', () => ({ path: `/profiles/prof_${random(size.profiles)}/export` })],
  ['list features', () => ({ path: `/saes/sae-0/features?skip=${random(16_000)}&limit=50` })],
  ['get feature', () => ({ path: `/saes/sae-0/features/${random(16_384)}` })],
  [
    'label by hand',
    () => ({
      path: `/saes/sae-0/features/${random(16_384)}/label`,
      method: 'PUT',
      body: { label: `by hand ${random(1_000)}` },
    }),
  ],
  ['search: words', () => ({ path: `/saes/sae-0/features?search=${pick(random(16))}%20${pick(random(16))}` })],
  ['search: part of a word', () => ({ path: `/saes/sae-1/features?search=${pick(random(16)).slice(1, 4)}` })],
  ['search: rare', () => ({ path: `/saes/sae-2/features?search=number%20${random(16_384)}` })],
  [
    'search: just written',
    () => {
      labelled = !labelled;
      const label = { path: `/saes/sae-0/features/${random(16_384)}/label`, method: 'PUT', body: { label: 'a heron' } };
      return labelled ? label : { path: '/saes/sae-0/features?search=heron' };
    },
  ],
  ['search: index', () => ({ path: `/saes/sae-0/features?search=${random(16_384)}` })],
  ['list downloads', () => ({ path: '/downloads' })],
  ['settings', () => ({ path: '/config' })],
];

async function measure(url: string, [name, request]: Call): Promise<void> {
  const times: number[] = [];
  let bytes = 0;
  for (let call = 0; call < calls + 10; call += 1) {
    const { path, method = 'GET', body } = request();
    const startedAt = performance.now();
    const response = await fetch(`${url}/api${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    const took = performance.now() - startedAt;
    if (!response.ok) throw new Error(`${name}: ${text}`);
    bytes = text.length;
    if (call >= 10) times.push(took);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) =>
    (times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0).toFixed(1).padStart(8);
  console.log(
    `${name.padEnd(24)}${at(0.5)}${at(0.9)}${at(0.99)}${at(1)}${String(Math.round(bytes / 1024)).padStart(8)}`,
  );
}

async function open(): Promise<{ database: Database; remove: () => Promise<void> }> {
  if (values.postgres === undefined) {
    const dataDir = mkdtempSync(join(tmpdir(), 'millm-bench-'));
    return { database: await openDatabase({ dataDir }), remove: async () => rmSync(dataDir, { recursive: true }) };
  }
  const name = `millm_bench_${process.pid}`;
  const run = async (sql: string) => {
    const admin = new pg.Client({ connectionString: values.postgres });
    await admin.connect();
    await admin.query(sql);
    await admin.end();
  };
  await run(`CREATE DATABASE ${name}`);
  const url = new URL(values.postgres);
  url.pathname = `/${name}`;
  const database = await openDatabase({ databaseUrl: url.href, dataDir: tmpdir() });
  return { database, remove: () => run(`DROP DATABASE ${name} WITH (FORCE)`) };
}

const { database, remove } = await open();
const fake = await startFakeInference();
const filledAt = performance.now();
await fill(database);
await database.client.$executeRawUnsafe('ANALYZE');
const seconds = ((performance.now() - filledAt) / 1000).toFixed(1);
const config = parseConfig({ INFERENCE_URL: fake.url, LOG_LEVEL: 'warn' });
const app = await buildApp({ config, database, log: createLogger(config) });
const url = await app.listen({ host: '127.0.0.1', port: 0 });
console.log(
  `${database.backend}: ${size.models} models, ${size.profiles} profiles, 50 000 labels (filled in ${seconds} s)`,
);
console.log(
  `milliseconds over ${calls} calls${'p50'.padStart(8 + 24 - 28)}${'p90'.padStart(8)}${'p99'.padStart(8)}${'max'.padStart(8)}${'KiB'.padStart(8)}`,
);
for (const call of measured) await measure(url, call);
await app.close();
await fake.close();
await database.close();
await remove();
process.exit(0);
