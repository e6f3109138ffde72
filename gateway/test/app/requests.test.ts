import { describe, expect, it } from 'vitest';
import { modelName, startStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';
import { requestRepository } from '../../src/requests/repository.ts';
import { requestRecorder } from '../../src/requests/recorder.ts';
import { defaults } from '../../src/settings/schemas.ts';

const db = useDatabase();
const ask = { model: modelName, messages: [{ role: 'user', content: 'a secret of mine' }] };

describe('the request log', () => {
  it('is off, and once on keeps what was asked and what it cost, but never its text', async () => {
    const { api, v1 } = await startStack(db.database);
    await (await v1('/chat/completions', ask)).text();
    expect((await api('GET', '/requests')).body.data).toMatchObject({ items: [], total: 0 });
    await api('PATCH', '/config', { request_log_enabled: true });
    await (
      await v1('/chat/completions', { ...ask, stream: true, steering: { features: [{ index: 7, strength: 2 }] } })
    ).text();
    await (await v1('/chat/completions', { ...ask, model: 'nobody' })).text();
    const { items, total } = (await api('GET', '/requests')).body.data as {
      items: Record<string, unknown>[];
      total: number;
    };
    expect(total).toBe(2);
    expect(items).toMatchObject([
      { model: 'nobody', status: 404 },
      {
        model: modelName,
        status: 200,
        stream: true,
        endpoint: 'chat.completions',
        finish_reason: 'stop',
        prompt_tokens: expect.toSatisfy((count: number) => count > 0),
        completion_tokens: expect.toSatisfy((count: number) => count > 0),
        ttft_ms: expect.any(Number),
        steering: expect.stringMatching(/^[0-9a-f]{16}$/),
      },
    ]);
    expect(JSON.stringify(await db.database.client.requestLog.findMany())).not.toContain('secret');
    expect((await api('GET', '/requests?failed=true')).body.data).toMatchObject({ total: 1 });
    expect((await api('DELETE', '/requests')).body.data).toEqual({ deleted: 2 });
  });

  it('is bounded by number and by age', async () => {
    const requests = requestRepository(db.database.client);
    const settings = {
      ...defaults,
      request_log_enabled: true,
      request_log_max_rows: 100,
      request_log_retention_days: 1,
    };
    const recorder = requestRecorder({ requests, settings: async () => settings, log: console });
    const row = (n: number, ageMs: number) => ({
      ...{ id: `r${n}`, endpoint: 'completions', modelName: 'm', stream: false, status: 200, durationMs: 1 },
      at: new Date(Date.now() - ageMs),
    });
    for (let n = 0; n < 130; n += 1) recorder.record(row(n, n * 1_000));
    recorder.record(row(500, 2 * 86_400_000));
    await recorder.flush();
    const left = await requests.page({ skip: 0, limit: 500 });
    expect([left.total, left.rows[0]?.id]).toEqual([100, 'r0']);
    for (let n = 1_000; n < 2_500; n += 1) recorder.record(row(n, 0));
    expect(recorder.dropped()).toBe(500);
    await recorder.close();
  });
});
