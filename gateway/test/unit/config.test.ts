import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigError, environmentVariables, parseConfig } from '../../src/config.ts';

describe('config', () => {
  it('needs nothing', () => {
    const config = parseConfig({});
    expect(config).toMatchObject({ host: '127.0.0.1', port: 8000, inferenceUrl: 'http://127.0.0.1:8100' });
    expect(config.databaseUrl).toBeUndefined();
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('refuses a variable with our prefix that nobody reads, and names it', () => {
    expect(() => parseConfig({ MILLM_KEPALIVE_S: '3' })).toThrow(
      new ConfigError('Unknown setting: MILLM_KEPALIVE_S. See .env.example.'),
    );
  });

  it('leaves the sidecar its own variables', () => {
    expect(parseConfig({ MILLM_INFERENCE_PORT: '8100' }).port).toBe(8000);
  });

  it('treats an empty variable as absent', () => {
    expect(parseConfig({ DATABASE_URL: '', PORT: '' })).toMatchObject({ databaseUrl: undefined, port: 8000 });
  });

  it('says which variable is wrong', () => {
    expect(() => parseConfig({ PORT: 'eighty' })).toThrow(/PORT/);
  });

  it('reads lists and flags', () => {
    const config = parseConfig({ MILLM_API_KEYS: 'a, b', MILLM_STRICT: '1', MILLM_CORS_ORIGINS: 'http://x app://*' });
    expect(config).toMatchObject({ apiKeys: ['a', 'b'], strict: true, corsOrigins: ['http://x', 'app://*'] });
  });

  const example = new URL('../../../.env.example', import.meta.url);
  it.skipIf(!existsSync(example))('is documented in .env.example, every variable', () => {
    const documented = [...readFileSync(example, 'utf8').matchAll(/^#?\s?([A-Z][A-Z0-9_]+)=/gm)].map(
      ([, name]) => name,
    );
    expect(environmentVariables.filter((name) => !documented.includes(name))).toEqual([]);
  });
});
