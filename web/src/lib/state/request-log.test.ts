import { expect, it, vi } from 'vitest';
import type { LoggedRequest, Page, ServerConfig } from '#lib/api/types.ts';
import { RequestLog } from './request-log.svelte.ts';

const page = (total: number): Page<LoggedRequest> => ({ items: [], total, skip: 0, limit: 6 });
const config = (request_log_enabled: boolean) => ({ settings: { request_log_enabled } }) as ServerConfig;

it('the request log knows whether there is one, and keeps the last known', async () => {
  const listRequests = vi.fn(async () => page(3));
  const log = new RequestLog({ listRequests, getConfig: async () => config(true) });
  expect(log.isEnabled).toBeNull();
  await log.refresh();
  listRequests.mockRejectedValue(new Error('gone'));
  await log.refresh();
  expect(log).toMatchObject({ total: 3, isEnabled: true });
});
