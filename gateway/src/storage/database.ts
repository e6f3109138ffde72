// Which backend is behind us is known here and nowhere else.
import { fileURLToPath } from 'node:url';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import type { PoolConfig } from 'pg';
import { PrismaClient } from './generated/client.ts';
import { migrate } from './migrate.ts';
import { startPglite } from './pglite.ts';

export type DatabaseClient = PrismaClient;

export interface Database {
  client: DatabaseClient;
  backend: 'embedded' | 'postgresql';
  close(): Promise<void>;
  onFailure(listener: (error: Error) => void): void;
}

/** A server that is away is an error soon, and one that went silent too. */
const patience = { connectionTimeoutMillis: 5_000, query_timeout: 20_000 };
const migrationsDir = fileURLToPath(new URL('../../../prisma/migrations', import.meta.url));

export async function openDatabase(config: { databaseUrl?: string | undefined; dataDir: string }): Promise<Database> {
  if (config.databaseUrl !== undefined) {
    const connection = { connectionString: config.databaseUrl, ...patience };
    const client = await connect(connection);
    return { client, backend: 'postgresql', close: () => client.$disconnect(), onFailure: () => undefined };
  }
  const embedded = await startPglite(config.dataDir);
  // One session behind the socket: a second connection would share it, so there is one connection.
  const client = await connect({ host: embedded.host, user: 'postgres', database: 'postgres', max: 1 });
  return {
    client,
    backend: 'embedded',
    onFailure: embedded.onFailure,
    async close() {
      await client.$disconnect();
      await embedded.close();
    },
  };
}

async function connect(connection: PoolConfig): Promise<DatabaseClient> {
  const migrator = new pg.Client(connection);
  await migrator.connect();
  try {
    await migrate(migrator, migrationsDir);
  } finally {
    await migrator.end();
  }
  return new PrismaClient({ adapter: new PrismaPg(connection) });
}
