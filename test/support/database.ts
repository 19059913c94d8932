// What lives here: a database of its own for one test file.
// Invariant: it is owned by the role `mendflow`, which is no superuser, as in production.
// Apart because tests that count rows must not meet each other's.
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

export interface Database {
  /** As `mendflow`. */
  readonly url: string;
  /** Drops it, connections and all. */
  readonly drop: () => Promise<void>;
}

/** An empty database. */
export const freshDatabase = (): Promise<Database> => make('template1');

/** A database with the schema of this release, in a fraction of the time that migrating takes. */
export const migratedDatabase = (): Promise<Database> => make(inject('templateDatabase'));

/** The same with a connection to it, which `end` closes before the database goes. */
export async function connectedDatabase(): Promise<{ url: string; client: pg.Client; end: () => Promise<void> }> {
  const { url, drop } = await migratedDatabase();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const end = async (): Promise<void> => {
    await client.end();
    await drop();
  };
  return { url, client, end };
}

const make = async (template: string): Promise<Database> => {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const asAdmin = async (statement: string): Promise<void> => {
    const client = new pg.Client({ connectionString: inject('adminUrl') });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  };
  await asAdmin(`create database ${name} owner mendflow template ${template}`);
  const url = new URL(inject('databaseUrl'));
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => asAdmin(`drop database if exists ${name} with (force)`) };
};
