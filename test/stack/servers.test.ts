// What lives here: the two servers of the test run, seen from a test.
// Invariant: every test works under the same kind of role as production does.
// Apart from the tests of the stack's life, which start servers of their own.
import { Connection } from '@temporalio/client';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { startPostgres } from '../../src/stack/index.ts';
import { freshDatabase } from '../support/database.ts';

test('the role handed out owns its database and is no superuser', async () => {
  const { url, drop } = await freshDatabase();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(
    `select current_user as name, rolsuper, (select datcollate from pg_database where datname = current_database()) as collate,
       current_setting('listen_addresses') as listens from pg_roles where rolname = current_user`,
  );
  await client.query('create extension btree_gist');
  await client.end();
  await drop();
  expect(rows).toEqual([{ name: 'mendflow', rolsuper: false, collate: 'C.UTF-8', listens: '127.0.0.1' }]);
});

test('the server waits for the disk, as its file says; only this test run has switched that off', async () => {
  const admin = new pg.Client({ connectionString: inject('adminUrl') });
  await admin.connect();
  const { rows } = await admin.query(
    `select setting from pg_file_settings where name = 'fsync' and sourcefile not like '%postgresql.auto.conf'`,
  );
  await admin.end();
  expect(rows).toEqual([{ setting: 'on' }]);
});

test('the dev server knows the search attributes before the first run', async () => {
  const connection = await Connection.connect({ address: inject('temporalAddress') });
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
  await connection.close();
  expect(Object.keys(customAttributes)).toEqual(
    expect.arrayContaining([
      'PipelineName',
      'PipelineHealth',
      'FailureClass',
      'Upstream',
      'DataDate',
      'DataSource',
      'DeadLetters',
    ]),
  );
});

test('a given database is used as it is and never stopped, and a wrong one is told in one sentence', async () => {
  const dir = join(tmpdir(), 'mendflow-never-made');
  const databaseUrl = inject('databaseUrl');
  const given = await startPostgres({ dir, databaseUrl });
  expect(given).toMatchObject({ kind: 'given', url: databaseUrl, version: expect.stringMatching(/^\d+/) });
  await given.stop();
  expect((await startPostgres({ dir, databaseUrl })).kind).toBe('given');
  const wrong = new URL(databaseUrl);
  wrong.password = 'wrong-password';
  const refused = await startPostgres({ dir, databaseUrl: wrong.href }).catch((error: unknown) => String(error));
  expect(refused).toMatch(/DATABASE_URL does not answer .*nothing was started in its place.*unset DATABASE_URL/);
  expect(refused).not.toContain('wrong-password');
  expect(existsSync(dir)).toBe(false);
});
