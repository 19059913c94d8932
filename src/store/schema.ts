// What lives here: which schema this release works with, and refusing to work on any other.
// Invariant: it changes nothing; the text of a refusal names the command that mends it.
// Apart from the migrations because every command asks this, and none of them needs what migrates.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CodedError } from '../model/failure.ts';
import type { Db } from './db.ts';

export const migrationsFolder = fileURLToPath(new URL('../../migrations', import.meta.url));

/** Names of the migrations of this release, in their order. */
export const migrationNames = (): string[] =>
  readdirSync(migrationsFolder)
    .filter((name) => name.endsWith('.sql'))
    .map((name) => name.slice(0, -'.sql'.length))
    .sort();

/** Fails with `pg_schema` unless the database is at a schema this release can work with; the text names the command that mends it. */
export async function checkSchema(db: Db): Promise<void> {
  const known = migrationNames();
  const { rows: found } = await db.query<{ there: boolean }>(
    `select to_regclass('mendflow.migration') is not null as there`,
  );
  const names = found[0]!.there
    ? (await db.query<{ name: string }>('select name from mendflow.migration')).rows.map(({ name }) => name)
    : [];
  const foreign = names.filter((name) => !known.includes(name));
  if (foreign.length > 0)
    throw new CodedError(
      'pg_schema',
      `The database is ahead of this release: it has ${foreign.join(', ')}. Nothing was read or written. Update Mendflow on this machine.`,
    );
  if (names.length !== known.length)
    throw new CodedError(
      'pg_schema',
      `The database has ${names.length} of ${known.length} migrations. Nothing was read or written. Run: npx mendflow migrate`,
    );
}
