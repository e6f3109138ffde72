import { describe, expect, it } from 'vitest';
import { modelName, startStack } from '../build-test-app.ts';
import type { TestStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();
const hello = { model: modelName, messages: [{ role: 'user', content: 'Hi' }] };

describe('a limit on requests a minute', () => {
  it('is off unless it is set', async () => {
    const { v1 } = await startStack(db.database);
    const answers = await Promise.all(Array.from({ length: 20 }, () => v1('/chat/completions', hello)));
    expect(answers.every(({ ok }) => ok)).toBe(true);
    expect(answers[0]?.headers.get('x-ratelimit-limit-requests')).toBeNull();
  });

  it('counts each key by itself, and refuses in the words of the surface, saying when to come again', async () => {
    const env = { MILLM_RATE_LIMIT_PER_MINUTE: '3', MILLM_API_KEYS: 'one two' };
    const { v1, api, url } = await startStack(db.database, { env, key: 'two' });
    const as = (key: string) => v1('/chat/completions', hello, { authorization: `Bearer ${key}` });
    const first = await as('one');
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('2');
    await as('one');
    await as('one');
    const refused = await as('one');
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({
      error: { type: 'rate_limit_error', code: 'rate_limit_exceeded', param: null },
    });
    expect((await as('two')).ok).toBe(true);

    for (let n = 0; n < 2; n += 1) await api('GET', '/steering');
    const { status, headers, body } = await api('GET', '/steering');
    expect(status).toBe(429);
    expect(headers.get('retry-after')).not.toBeNull();
    expect(body.error?.code).toBe('RATE_LIMITED');
    expect((await fetch(`${url}/api/health`)).ok).toBe(true);
  });

  it('counts by address where keys are not asked for, however many a client makes up', async () => {
    const { v1 } = await startStack(db.database, { env: { MILLM_RATE_LIMIT_PER_MINUTE: '3' } });
    const statuses = [];
    for (const key of ['a', 'b', 'c', 'd']) {
      statuses.push((await v1('/chat/completions', hello, { authorization: `Bearer ${key}` })).status);
    }
    expect(statuses).toEqual([200, 200, 200, 429]);
  });

  it('believes a proxy it was told of about the address, and nobody else', async () => {
    const env = { MILLM_RATE_LIMIT_PER_MINUTE: '1' };
    const from = (stack: TestStack, address: string) =>
      stack.v1('/chat/completions', hello, { 'x-forwarded-for': address }).then(({ status }) => status);
    const direct = await startStack(db.database, { env });
    expect([await from(direct, '192.0.2.1'), await from(direct, '192.0.2.2')]).toEqual([200, 429]);
    const behind = await startStack(db.database, { env: { ...env, MILLM_TRUST_PROXY: '127.0.0.0/8' } });
    expect([await from(behind, '192.0.2.1'), await from(behind, '192.0.2.2')]).toEqual([200, 200]);
    expect(await from(behind, '192.0.2.2')).toBe(429);
  });
});
