import { expect, it } from 'vitest';
import { startStack } from '../build-test-app.ts';
import { useDatabase } from '../database.ts';

const db = useDatabase();

it('settings are shown without secrets, changed, checked, and there after a restart', async () => {
  const env = { HF_TOKEN: 'hf_of_the_server', MILLM_API_KEYS: '' };
  const { api } = await startStack(db.database, { env });
  const before = await api('GET', '/config');
  expect(before.body.data).toMatchObject({
    settings: { request_log_enabled: false },
    deployment: { hub_token_set: true },
  });
  expect(JSON.stringify(before.body)).not.toContain('hf_of_the_server');
  const changed = await api('PATCH', '/config', { request_log_retention_days: 3 });
  expect(changed.body.data).toMatchObject({
    settings: { request_log_retention_days: 3, request_log_max_rows: 10_000 },
  });
  expect((await api('PATCH', '/config', { request_log_max_rows: -1 })).status).toBe(422);
  expect((await api('PATCH', '/config', { unknown: 1 })).status).toBe(422);
  const again = await startStack(db.database, { env });
  expect((await again.api('GET', '/config')).body.data).toMatchObject({ settings: { request_log_retention_days: 3 } });
});
