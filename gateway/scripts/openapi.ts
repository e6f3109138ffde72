// Prints the OpenAPI document of both surfaces, without a database or a sidecar.
import { buildApp } from '../src/app.ts';
import { parseConfig } from '../src/config.ts';
import { createLogger } from '../src/log.ts';
import type { Database } from '../src/storage/database.ts';

const nowhere = new Proxy({}, { get: () => nowhere }) as Database['client'];
const database: Database = {
  client: nowhere,
  backend: 'embedded',
  close: async () => undefined,
  onFailure: () => undefined,
};
const config = parseConfig({ LOG_LEVEL: 'silent', MILLM_WEB_DIR: '/nonexistent' });
const app = await buildApp({ config, database, log: createLogger(config) });
await app.ready();
process.stdout.write(`${JSON.stringify(app.swagger(), null, 2)}\n`, () => process.exit(0));
