import { defineConfig } from 'prisma/config';

// Passed with --config: `prisma` itself is used to generate the client and, on PostgreSQL, for `migrate deploy`.
export default defineConfig({
  schema: 'schema.prisma',
  migrations: { path: 'migrations' },
  datasource: { url: process.env['DATABASE_URL'] ?? 'postgresql://unused' },
});
