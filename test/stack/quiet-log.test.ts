// What is promised here: the log of the stack's own Postgres holds no value of a record, whatever a statement, a trigger or a session does.
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPostgres } from '../../src/stack/index.ts';

const CANARY = 'kanarienvogel';
const dir = mkdtempSync(join(tmpdir(), 'mendflow-quiet-'));
const cacheDir = process.env['MENDFLOW_CACHE'] ?? join(import.meta.dirname, '..', '..', '.mendflow', 'cache');
let server: Awaited<ReturnType<typeof startPostgres>>;
let client: pg.Client;

beforeAll(async () => {
  chmodSync(dir, 0o755); // As root Postgres runs as another user, who has to get in.
  server = await startPostgres({ dir, cacheDir });
  client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query(
    `create table t (id int primary key, name text check (name <> '${CANARY}'), at timestamptz, tag text unique)`,
  );
  await client.query(`insert into t (id, tag) values (1, '${CANARY}')`);
}, 120_000);
afterAll(async () => {
  await client.end();
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

const raise = (level: string): string => `do $$ begin raise ${level} '${CANARY}'; end $$`;

describe('the log of Postgres', { timeout: 60_000 }, () => {
  it.each([
    ['a cast', `select '${CANARY}'::int`],
    ['a date', `insert into t (id, at) values (2, '${CANARY}')`],
    ['a key that is there', `insert into t (id, tag) values (3, '${CANARY}')`],
    ['a check', `insert into t (id, name) values (4, '${CANARY}')`],
    ['a syntax error', `selekt '${CANARY}'`],
    ['an exception of a trigger', raise('exception')],
    ['JSON', `select '{"${CANARY}"'::jsonb`],
    ['a function', `do $$ begin execute 'select 1/0 -- ${CANARY}'; end $$`],
  ])('does not hold the value that %s was refused for', async (_what, statement) => {
    await expect(client.query(statement)).rejects.toThrow();
  });

  it('does not hold parameters', async () => {
    await expect(client.query('select $1::text::int', [CANARY])).rejects.toThrow(CANARY);
    await expect(client.query('insert into t (id, tag) values ($1, $2)', [9, CANARY])).rejects.toThrow();
  });

  it.each(['log', 'info', 'notice', 'warning'])('does not hold what a function says by raise %s', async (level) => {
    await client.query(raise(level));
  });

  it('cannot be made louder by a session', async () => {
    for (const setting of [
      'log_min_messages = debug1',
      'log_min_error_statement = error',
      `log_statement = 'all'`,
      'log_min_duration_statement = 0',
    ])
      await expect(client.query(`set ${setting}`)).rejects.toThrow(/permission denied/);
  });

  it('holds none of it, and still what the server says of itself', () => {
    const log = readFileSync(server.logFile!, 'utf8');
    expect(log).not.toContain(CANARY);
    expect(log).toContain('database system is ready to accept connections');
  });
});
