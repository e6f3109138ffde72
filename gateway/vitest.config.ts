import { defineConfig } from 'vitest/config';

const postgres = process.env['MILLM_TEST_DATABASE_URL'];
const apps = { include: ['test/app/**/*.test.ts'], globalSetup: ['test/database-setup.ts'] };

export default defineConfig({
  test: {
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // Vitest leaves one core to itself, which on two cores means that files run one after another.
    maxWorkers: '100%',
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      { extends: true, test: { name: 'embedded', ...apps, provide: { databaseUrl: null } } },
      // The same suite again on a real server, where one is named.
      ...(postgres
        ? [{ extends: true, test: { name: 'postgresql', ...apps, provide: { databaseUrl: postgres } } } as const]
        : []),
      {
        extends: true,
        test: { name: 'process', include: ['test/process/**/*.test.ts'], globalSetup: ['test/database-setup.ts'] },
      },
    ],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      exclude: [
        'src/storage/generated/**',
        'src/storage/pglite-worker.ts',
        'src/storage/migrate-cli.ts',
        'src/server.ts',
      ],
      reporter: ['text-summary', 'json-summary'],
      thresholds: { lines: 80, statements: 80, functions: 80, branches: 75 },
    },
  },
});
