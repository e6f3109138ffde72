// Input that is made to hurt, and a clock that jumps.
import { once } from 'node:events';
import { connect } from 'node:net';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { modelName, startStack, until } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();
const hi = { model: modelName, messages: [{ role: 'user', content: 'hi' }] };

/** The path as it is: `fetch` would resolve its dots. */
async function rawGet(url: string, path: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`);
  let text = '';
  socket.on('data', (data: Buffer) => (text += data.toString()));
  await once(socket, 'close');
  return text;
}

describe('paths that climb', () => {
  it('reach no file outside the dashboard, and no row by a path', async () => {
    const root = mkdtempSync(join(tmpdir(), 'millm-climb-'));
    mkdirSync(join(root, 'web'));
    writeFileSync(join(root, 'web', 'index.html'), 'the page');
    writeFileSync(join(root, 'secret.txt'), 'swordfish');
    const { url, fake } = await startStack(db.database, { env: { MILLM_WEB_DIR: join(root, 'web') } });
    // Beside what the gateway asks by itself, all the time.
    const asked = () => fake.calls.filter((call) => !/\/(?:state|feed|monitor)/.test(call)).length;
    const before = asked();
    for (const climb of ['..', '%2e%2e', '..%2f..', '%2e%2e%2f', '..%5c', '....//', '%00', '..;']) {
      for (const path of [
        `/${climb}/secret.txt`,
        `/_app/${climb}/${climb}/secret.txt`,
        `/api/models/${climb}`,
        `/api/saes/${climb}/labels/export`,
        `/api/profiles/${climb}/export`,
        `/v1/models/${climb}/${climb}/etc/passwd`,
      ]) {
        const answer = await rawGet(url, path);
        expect(answer, path).not.toMatch(/swordfish|root:/);
        expect(answer, path).toMatch(/^HTTP\/1\.1 (?:400|404|403|422|200) /);
        // A path of ours is a 404 of ours; only what is no path of ours may show the page.
        if (path.startsWith('/api') || path.startsWith('/v1'))
          expect(answer, path).not.toMatch(/^HTTP\/1\.1 200[^]*"data":\{/);
      }
    }
    expect(asked()).toBe(before);
  });

  it('are no ids of repositories and no places to import from the hub', async () => {
    const { api, fake } = await startStack(db.database);
    for (const repo_id of ['../../etc', 'a/../../b', '/etc/passwd', 'a/b/../c', 'a\\b/c', 'a/b\u0000']) {
      expect([repo_id, (await api('POST', '/models', { repo_id })).status]).toEqual([repo_id, 422]);
      expect([repo_id, (await api('POST', '/saes', { repo_id })).status]).toEqual([repo_id, 422]);
    }
    expect((await api('POST', '/saes', { repo_id: 'a/b', path: '../../x' })).status).toBeGreaterThanOrEqual(400);
    expect(fake.calls.filter((call) => call.includes('downloads'))).toEqual([]);
  });
});

it('text with NUL is refused, wherever it would be stored', async () => {
  const { api } = await startStack(db.database);
  const nul = 'a\u0000b';
  for (const [method, path, body] of [
    ['POST', '/profiles', { name: nul, features: [] }],
    ['POST', '/keys', { name: nul }],
    ['PUT', '/saes/demo/features/7/label', { label: nul }],
    ['GET', '/profiles/%00', undefined],
  ] as const) {
    const { status, body: answer } = await api(method, path, body);
    expect([path, status, answer.error?.code]).toEqual([path, 422, 'VALIDATION_ERROR']);
  }
});

describe('JSON that is made to hurt', () => {
  it('is refused however deep, wide or long it is, and the next request works', async () => {
    const { v1, url } = await startStack(db.database, { env: { MILLM_BODY_LIMIT_BYTES: String(8 * 1024 * 1024) } });
    const deep = '['.repeat(500_000) + ']'.repeat(500_000);
    const wide = `{${Array.from({ length: 200_000 }, (_, n) => `"k${n}":0`).join(',')}}`;
    const bodies: [string, string, number][] = [
      ['deep', deep, 400],
      ['deep inside', `{"model":"${modelName}","messages":${deep}}`, 400],
      ['wide', wide, 400],
      ['a long number', `{"model":"${modelName}","seed":${'9'.repeat(1_000_000)},"messages":[]}`, 400],
      [
        'a prototype',
        `{"model":"x","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"messages":[]}`,
        400,
      ],
      ['too long', `"${'x'.repeat(9 * 1024 * 1024)}"`, 413],
    ];
    for (const [name, body, status] of bodies) {
      const begun = performance.now();
      expect([name, (await v1('/chat/completions', body)).status]).toEqual([name, status]);
      expect(performance.now() - begun, name).toBeLessThan(5_000);
    }
    for (const path of ['/api/steering', '/api/profiles', '/api/profiles/import', '/api/activations']) {
      const method = path === '/api/steering' ? 'PUT' : 'POST';
      const response = await fetch(url + path, { method, headers: { 'content-type': 'application/json' }, body: deep });
      expect([path, response.status]).toEqual([path, 422]);
    }
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect((await v1('/chat/completions', hi)).status).toBe(200);
  });
});

describe('a clock that jumps', () => {
  const day = 86_400_000;
  for (const [name, jump] of [
    ['a day back', -day],
    ['a day ahead', day],
  ] as const) {
    it(`${name} ends no stream, blocks no retry, and leaves the rate limit sane`, async () => {
      const stack = await startStack(db.database, { env: { MILLM_RATE_LIMIT_PER_MINUTE: '50' } });
      const { v1, fake, api } = stack;
      onTestFinished(() => void vi.useRealTimers());
      fake.scenario = 'slow';
      const stream = await v1('/chat/completions', { ...hi, stream: true });
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + jump });
      expect(await stream.text()).toContain('data: [DONE]');
      fake.scenario = 'plain';
      const answer = await v1('/chat/completions', hi);
      expect(answer.status).toBe(200);
      expect(Number(answer.headers.get('x-ratelimit-remaining-requests'))).toBeGreaterThan(0);
      expect(Number.parseInt(answer.headers.get('x-ratelimit-reset-requests') ?? '', 10)).toBeLessThanOrEqual(60);
      // The sidecar restarts, and what should be loaded is loaded at once.
      fake.restart();
      await until(() => fake.state().saes.length === 1);
      expect((await api('GET', '/steering')).status).toBe(200);
    });
  }

  it('does not keep a failed load from being tried again', async () => {
    const { fake } = await startStack(db.database);
    onTestFinished(() => void vi.useRealTimers());
    fake.failLoads = 1;
    fake.restart();
    await until(() => fake.failLoads === 0);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - day });
    await until(() => fake.state().model !== null, 8_000);
  });
});
