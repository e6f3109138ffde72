// Access: keys that are made, scoped, used, revoked; pages and headers.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { modelName, startStack, until } from '../build-test-app.ts';
import type { TestStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { connectLive } from '../live-client.ts';

const db = useDatabase();
const hi = { model: modelName, messages: [{ role: 'user', content: 'hi' }] };
const env = { MILLM_API_KEYS: 'first-key' };
interface Key {
  id: string;
  secret: string;
  prefix: string;
  status: string;
  scopes: string[];
  last_used_at: string | null;
}

async function makeKey({ api }: TestStack, body: object): Promise<Key> {
  const answer = await api('POST', '/keys', body);
  expect(answer.status).toBe(201);
  expect(answer.headers.get('cache-control')).toBe('no-store');
  return answer.body.data as Key;
}

const chat = async ({ v1 }: TestStack, key: string) =>
  (await v1('/chat/completions', hi, { authorization: `Bearer ${key}` })).status;
const look = async ({ url }: TestStack, path: string, key?: string) =>
  (await fetch(`${url}${path}`, { headers: key === undefined ? {} : { 'x-api-key': key } })).status;

describe('keys', () => {
  it('are made with a name and scopes, shown once, and never stored', async () => {
    const stack = await startStack(db.database, { env, key: 'first-key' });
    const made = await makeKey(stack, { name: ' notebook ', scopes: ['manage', 'inference'] });
    expect(made).toMatchObject({ name: 'notebook', scopes: ['inference', 'manage'], status: 'active' });
    expect(made.secret).toMatch(/^millm-[\w-]{43}$/);
    expect(made.secret.startsWith(made.prefix)).toBe(true);
    const listed = await stack.api('GET', '/keys');
    expect(listed.body.data).toMatchObject([{ id: made.id, name: 'notebook' }]);
    expect(JSON.stringify(listed.body)).not.toContain(made.secret);
    const rows = await db.database.client.$queryRawUnsafe<object[]>('SELECT * FROM api_keys');
    expect(JSON.stringify(rows)).not.toContain(made.secret.slice(made.prefix.length));
    expect(JSON.stringify(stack.logs)).not.toContain(made.secret.slice(made.prefix.length));
    const renamed = await stack.api('PATCH', `/keys/${made.id}`, { name: 'lab' });
    expect(renamed.body.data).toMatchObject({ id: made.id, name: 'lab' });
  });

  it('allow what their scopes say, and an unknown one nothing', async () => {
    const stack = await startStack(db.database, { env, key: 'first-key' });
    const asker = await makeKey(stack, { name: 'app' });
    const manager = await makeKey(stack, { name: 'operator', scopes: ['manage'] });
    expect(asker.scopes).toEqual(['inference']);
    expect([await chat(stack, asker.secret), await look(stack, '/api/steering', asker.secret)]).toEqual([200, 403]);
    expect([await chat(stack, manager.secret), await look(stack, '/api/steering', manager.secret)]).toEqual([403, 200]);
    expect([await chat(stack, 'millm-guess'), await look(stack, '/api/steering', 'millm-guess')]).toEqual([401, 401]);
    expect(await look(stack, '/api/steering')).toBe(401);
    expect(await look(stack, '/api/profiles/any/export')).toBe(401);
    const { body } = await stack.api('POST', '/keys', { name: 'x', scopes: [] });
    expect(body.error?.message).toContain('name at least one scope');
  });

  it('open the sidecar itself to those who manage', async () => {
    const stack = await startStack(db.database, { env });
    const asker = await makeKey(await startStack(db.database, { env, key: 'first-key' }), { name: 'app' });
    const paths = ['/api/sidecar/health', '/api/sidecar/state'];
    for (const path of paths) {
      expect([path, await look(stack, path)]).toEqual([path, 401]);
      expect([path, await look(stack, path, asker.secret)]).toEqual([path, 403]);
    }
    const answer = await fetch(`${stack.url}/api/sidecar/state`, { headers: { 'x-api-key': 'first-key' } });
    expect(await answer.json()).toMatchObject({ instance_id: stack.fake.state().instance_id });
  });

  it('leave the probes, the pages and the descriptions open', async () => {
    const { url } = await startStack(db.database, { env });
    for (const path of [
      '/',
      '/api/health',
      '/api/health/live',
      '/api/openapi.json',
      '/api/docs',
      '/health',
      '/v1/models',
    ]) {
      expect([path, (await fetch(url + path)).status]).toEqual([path, 200]);
    }
    expect(await (await fetch(`${url}/api/health`)).json()).toMatchObject({ keys_required: true });
    // Names that only begin like an open one.
    for (const path of ['/api/healthy', '/api/docs-x', '/v1/models-x']) {
      expect([path, (await fetch(url + path)).status]).toEqual([path, 401]);
    }
  });

  it('end when they are revoked or expire, sockets included', async () => {
    const stack = await startStack(db.database, { env, key: 'first-key' });
    const key = await makeKey(stack, { name: 'short', scopes: ['inference', 'manage'] });
    const socket = await connectLive(stack.url, '/system', { auth: { token: key.secret }, reconnection: false });
    const asker = await makeKey(stack, { name: 'app' });
    await expect(connectLive(stack.url, '/system', { auth: { token: asker.secret } })).rejects.toThrow('manage');
    const revoked = await stack.api('DELETE', `/keys/${key.id}`);
    expect(revoked.body.data).toMatchObject({ status: 'revoked', revoked_at: expect.any(String) });
    expect(await chat(stack, key.secret)).toBe(401);
    await until(() => !socket.socket.connected);
    expect((await stack.api('DELETE', `/keys/${key.id}`)).status).toBe(200);
    expect((await stack.api('DELETE', '/keys/nobody')).status).toBe(404);

    expect((await stack.api('POST', '/keys', { name: 'x', expires_at: '2020-01-01T00:00:00Z' })).status).toBe(422);
    const soon = new Date(Date.now() + 400).toISOString();
    const brief = await makeKey(stack, { name: 'brief', expires_at: soon });
    expect(await chat(stack, brief.secret)).toBe(200);
    await until(async () => (await chat(stack, brief.secret)) === 401);
    expect((await stack.api('GET', '/keys')).body.data).toContainEqual(
      expect.objectContaining({ id: brief.id, status: 'expired' }),
    );
  });

  it('are named in the request log and remember when they were used', async () => {
    const stack = await startStack(db.database, { env, key: 'first-key' });
    await stack.api('PATCH', '/config', { request_log_enabled: true });
    const key = await makeKey(stack, { name: 'app' });
    expect(await chat(stack, key.secret)).toBe(200);
    await until(async () => {
      const [row] = (await stack.api('GET', '/keys')).body.data as Key[];
      return row?.last_used_at !== null;
    });
    await stack.api('GET', '/requests');
    const logged = await db.database.client.requestLog.findMany();
    expect(logged).toMatchObject([{ keyId: key.id }]);
    await stack.api('PATCH', '/config', { request_log_enabled: false });
  });

  it('are off by default: a key can be made beforehand', async () => {
    const stack = await startStack(db.database);
    const key = await makeKey(stack, { name: 'for later', scopes: ['manage'] });
    expect([await chat(stack, 'anything'), await look(stack, '/api/steering')]).toEqual([200, 200]);
    const keyed = await startStack(db.database, { env: { MILLM_REQUIRE_KEYS: '1' }, key: key.secret });
    expect([await look(keyed, '/api/steering'), await look(keyed, '/api/steering', key.secret)]).toEqual([401, 200]);
    const last = await keyed.api('DELETE', `/keys/${key.id}`);
    expect([last.status, last.body.error?.message]).toEqual([409, expect.stringContaining('last key that may manage')]);
  });

  it('cannot be required where nobody could ever make one', async () => {
    await expect(startStack(db.database, { env: { MILLM_REQUIRE_KEYS: '1' } })).rejects.toThrow(
      'Name one in MILLM_API_KEYS',
    );
  });
});

describe('pages of other origins', () => {
  it('change nothing, with or without keys, unless their origin was named', async () => {
    const { url } = await startStack(db.database, { env: { MILLM_CORS_ORIGINS: 'https://friend.example' } });
    const enable = async (origin: string) =>
      (await fetch(`${url}/api/steering/enable`, { method: 'POST', headers: { origin } })).status;
    expect(await enable('https://elsewhere.example')).toBe(403);
    expect(await enable('null')).toBe(403);
    expect(await enable(url)).toBe(200);
    expect(await enable('https://friend.example')).toBe(200);
  });
});

describe('security headers', () => {
  it('let a page run our scripts alone, and let nobody frame it', async () => {
    const webDir = mkdtempSync(join(tmpdir(), 'millm-web-'));
    const inline = 'document.title = "x"';
    const write = (script: string) =>
      writeFileSync(
        join(webDir, 'index.html'),
        `<!doctype html><script>${script}</script><script src="/a.js"></script>`,
      );
    write(inline);
    const { url } = await startStack(db.database, { env: { MILLM_WEB_DIR: webDir } });
    const { headers } = await fetch(`${url}/models`);
    const policy = headers.get('content-security-policy') ?? '';
    expect(scripts(policy)).toBe(`'self' 'sha256-${await digest(inline)}'`);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('upgrade-insecure-requests');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    for (const path of ['/v1/models', '/api/steering', '/v1/nope', '/health']) {
      expect((await fetch(url + path)).headers.get('x-content-type-options'), path).toBe('nosniff');
    }
    const docs = (await fetch(`${url}/api/docs/`)).headers.get('content-security-policy') ?? '';
    expect(docs).toContain("frame-ancestors 'none'");
    expect(docs).not.toContain('upgrade-insecure-requests');

    write('document.title = "built again"');
    const again = (await fetch(`${url}/models`)).headers.get('content-security-policy') ?? '';
    expect(scripts(again)).toBe(`'self' 'sha256-${await digest('document.title = "built again"')}'`);
  });

  const scripts = (policy: string) => /script-src ([^;]*)/.exec(policy)?.[1];
  const digest = async (text: string) =>
    Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(text))).toString('base64');
});
