import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const src = fileURLToPath(new URL('../../src/', import.meta.url));
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts') && !file.startsWith('storage/generated'),
);
const imports = (file: string) =>
  [...readFileSync(join(src, file), 'utf8').matchAll(/^(?:import|export) (type )?.*?from '([^']+)';/gms)].map(
    ([, type, from = '']) => ({
      isType: type !== undefined,
      name: from.startsWith('.') ? relative(src, join(src, dirname(file), from)) : from,
    }),
  );
const offenders = (
  chosen: (file: string) => boolean,
  isForbidden: (name: string, isType: boolean, file: string) => boolean,
) =>
  files.filter(chosen).flatMap((file) =>
    imports(file)
      .filter(({ name, isType }) => isForbidden(name, isType, file))
      .map(({ name }) => `${file} → ${name}`),
  );

describe('dependency directions', () => {
  it('only storage knows the backends', () => {
    const backends = /^(pg|ioredis|@prisma\/adapter-pg|@electric-sql\/)/;
    expect(
      offenders(
        (file) => !file.startsWith('storage/'),
        (name) => backends.test(name),
      ),
    ).toEqual([]);
  });

  it('rows live in storage, repositories and the desired state', () => {
    const isAllowed = (file: string) => /^storage\/|repository\.ts$|^desired\.ts$/.test(file);
    expect(
      offenders(
        (file) => !isAllowed(file),
        (name) => name.startsWith('storage/generated'),
      ),
    ).toEqual([]);
  });

  it('services know neither fastify nor Prisma', () => {
    expect(
      offenders(
        (file) => file.endsWith('service.ts'),
        (name) => /^fastify|prisma|socket\.io/.test(name),
      ),
    ).toEqual([]);
  });

  it('nothing but the composition imports routes', () => {
    expect(
      offenders(
        (file) => file !== 'app.ts' && file !== 'management.ts',
        (name) => name.endsWith('routes.ts'),
      ),
    ).toEqual([]);
  });

  it("only client.ts knows the sidecar's wire, and only config.ts the environment", () => {
    expect(
      offenders(
        (file) => file !== 'inference/client.ts',
        (name) => name === 'undici',
      ),
    ).toEqual([]);
    const readers = files.filter((file) => readFileSync(join(src, file), 'utf8').includes('process.env'));
    expect(readers.filter((file) => !['config.ts', 'server.ts', 'storage/migrate-cli.ts'].includes(file))).toEqual([]);
  });
});
