// What lives here: bringing a database to the schema of this release.
// Invariant: migrations run once, in order, under a lock; a file that changed after it ran is refused.
// Apart because it needs more rights and more time than anything else that talks to the database.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { runner } from 'node-pg-migrate';
import { CodedError } from '../model/failure.ts';
import { connect, type Db, disconnect } from './db.ts';
import { migrationNames, migrationsFolder } from './schema.ts';

interface MigrationFile {
  readonly name: string;
  readonly sha256: string;
}

const files = (): MigrationFile[] =>
  migrationNames().map((name) => ({
    name,
    sha256: createHash('sha256')
      .update(readFileSync(`${migrationsFolder}/${name}.sql`))
      .digest('hex'),
  }));

/**
 * Runs what has not run yet and returns its names. Waits for another migrator, at most as long as `statement_timeout` allows.
 * Fails with `pg_schema` if a file was changed after it ran or the server is older than PostgreSQL 15.
 */
export async function migrate(url: string): Promise<string[]> {
  const client = await connect({ url, applicationName: 'mendflow migrate' });
  try {
    await client.query(`create schema if not exists mendflow`).catch(ignoreRace);
    await checkChecksums(client);
    const ran = await runner({
      dbClient: client,
      dir: migrationsFolder,
      direction: 'up',
      migrationsTable: 'migration',
      migrationsSchema: 'mendflow',
      createMigrationsSchema: true,
      advisoryLockMode: 'wait',
      singleTransaction: true,
      logger: silent,
    });
    await keepChecksums(
      client,
      ran.map(({ name }) => name),
    );
    return ran.map(({ name }) => name);
  } finally {
    await disconnect(client);
  }
}

/** What the library would say, the returned names say. */
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Two migrators may both find the schema missing; the loser's "exists already" is what it wanted. */
function ignoreRace(error: unknown): void {
  const { code } = error as { code?: unknown };
  if (code !== '23505' && code !== '42P06') throw error;
}

async function checkChecksums(db: Db): Promise<void> {
  const { rows: found } = await db.query<{ there: boolean }>(
    `select to_regclass('mendflow.migration_checksum') is not null as there`,
  );
  if (!found[0]!.there) return;
  const { rows } = await db.query<{ name: string; sha256: string }>(
    'select name, sha256 from mendflow.migration_checksum',
  );
  const known = new Map(files().map(({ name, sha256 }) => [name, sha256]));
  for (const { name, sha256 } of rows)
    if (known.has(name) && known.get(name) !== sha256)
      throw new CodedError(
        'pg_schema',
        `Migration ${name} was changed after it ran here. Nothing was migrated. Restore the file and put the change into a new one.`,
      );
}

async function keepChecksums(db: Db, names: readonly string[]): Promise<void> {
  // Who ran nothing has nothing to keep, and would only meet the one that did at making this table.
  if (names.length === 0) return;
  await db.query(
    `create table if not exists mendflow.migration_checksum (name text primary key, sha256 text not null);
     comment on table mendflow.migration_checksum is 'What each migration file held when it ran.';
     comment on column mendflow.migration_checksum.name is 'The file, without its ending.';
     comment on column mendflow.migration_checksum.sha256 is 'Over its bytes, in hex.'`,
  );
  const ran = files().filter(({ name }) => names.includes(name));
  await db.query(
    'insert into mendflow.migration_checksum select * from unnest($1::text[], $2::text[]) on conflict do nothing',
    [ran.map(({ name }) => name), ran.map(({ sha256 }) => sha256)],
  );
}
