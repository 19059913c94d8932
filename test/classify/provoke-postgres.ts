// What lives here: failures that a real Postgres answers a statement with.
// Invariant: each in a transaction or table of its own, on a database that is dropped afterwards.
// Apart because they need only one connection that holds.
import pg from 'pg';
import type { Code } from '../../src/model/failure.ts';
import type { Provocation, Scene } from './provoke.ts';

export async function connect({ url, defer }: Scene, more: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, ...more });
  client.on('error', () => undefined); // A killed connection also says so here.
  await client.connect();
  defer(() => client.end());
  return client;
}

/** Statements, the last of which fails. */
const fails = (what: string, code: Code, ...statements: readonly string[]): Provocation => ({
  what: `Postgres: ${what}`,
  code,
  raise: async (scene) => {
    const client = await connect(scene);
    for (const statement of statements) await client.query(statement);
  },
});

const records: readonly Provocation[] = [
  fails('text too long', 'record_refused', "create temp table t (v varchar(2)); insert into t values ('abc')"),
  fails('number out of range', 'record_refused', 'select 40000::smallint'),
  fails('no number', 'record_refused', "select 'x'::int"),
  fails('no date', 'record_refused', "select 'x'::date"),
  fails('date out of range', 'record_refused', "select '2026-13-45'::date"),
  fails('division by zero', 'record_refused', 'select 1/0'),
  fails('bytes that are no text', 'record_refused', String.raw`select convert_from('\xff', 'UTF8')`),
  fails('no JSON', 'record_refused', "select '{'::jsonb"),
  fails('NUL in JSON', 'record_refused', String.raw`select '{"a":"\u0000"}'::jsonb ->> 'a'`),
  fails('null', 'record_refused', 'create temp table t (v int not null); insert into t values (null)'),
  fails('a key twice', 'record_refused', 'create temp table t (v int primary key); insert into t values (1), (1)'),
  fails('a check', 'record_refused', 'create temp table t (v int check (v > 0)); insert into t values (0)'),
  fails(
    'ranges that overlap',
    'record_refused',
    "create temp table t (v int4range, exclude using gist (v with &&)); insert into t values ('[1,3)'), ('[2,4)')",
  ),
  fails(
    'a parent that is not there',
    'record_early',
    'create temp table p (id int primary key); create temp table t (p int references p); insert into t values (1)',
  ),
  fails(
    'outside of a view',
    'record_refused',
    'create table base (v int); create view positive as select v from base where v > 0 with check option; insert into positive values (0)',
  ),
];

const statements: readonly Provocation[] = [
  fails('no such table', 'pg_schema', 'select 1 from no_such_table'),
  fails('no such column', 'pg_schema', 'create temp table t (v int); select w from t'),
  fails('no such function', 'pg_schema', 'select no_such_function(1)'),
  fails('no such type', 'pg_schema', "select 'x'::no_such_type"),
  fails('no such schema', 'pg_schema', 'create table no_such_schema.t (v int)'),
  fails('types that do not fit', 'pg_schema', 'create temp table t (v int); insert into t select now()'),
  fails(
    'no such unique key',
    'pg_schema',
    'create temp table t (v int); insert into t values (1) on conflict (v) do nothing',
  ),
  fails('no statement', 'pg_statement', 'selekt 1'),
  fails(
    'one key twice in an upsert',
    'pg_statement',
    'create temp table t (v int primary key); insert into t values (1), (1) on conflict (v) do update set v = excluded.v',
  ),
  fails('a table twice', 'pg_statement', 'create temp table t (v int); create temp table t (v int)'),
  {
    what: 'Postgres: after an error of the same transaction',
    code: 'pg_statement',
    raise: async (scene: Scene) => {
      const client = await connect(scene);
      await client.query('begin');
      await client.query('select 1/0').catch(() => undefined);
      await client.query('select 1');
    },
  },
  fails('no such cursor', 'pg_statement', 'close no_such_cursor'),
  fails('no such savepoint', 'pg_statement', 'begin; rollback to no_such_savepoint'),
  fails('not in a transaction', 'pg_statement', 'begin', 'create table b (v int); vacuum'),
  fails(
    'what depends on it',
    'pg_statement',
    'create table d (v int); create view dv as select v from d; drop table d',
  ),
  fails('too deep', 'pg_statement', `select ${'('.repeat(20_000)}1${')'.repeat(20_000)}`),
  fails('a wrong setting', 'record_refused', "set work_mem = 'x'"),
  fails('no row', 'pg_statement', 'do $$ declare v int; begin select 1 into strict v where false; end $$'),
  fails(
    'too many rows',
    'pg_statement',
    'do $$ declare v int; begin select x into strict v from generate_series(1, 2) x; end $$',
  ),
  fails('an assertion', 'pg_statement', 'do $$ begin assert false; end $$'),
  fails("the schema author's own words", 'unknown', "do $$ begin raise 'closed on Sundays'; end $$"),
  fails(
    'a read-only transaction',
    'pg_readonly',
    'create table r (v int); set default_transaction_read_only = on',
    'insert into r values (1)',
  ),
  fails('a right that is missing', 'pg_forbidden', 'select * from pg_authid'),
  fails('no such prepared statement', 'pg_connection_lost', 'execute no_such_statement'),
  fails('not built in', 'pg_statement', 'select count(*) from generate_series(1, 2) for update'),
  fails('the longest time of a statement', 'pg_timeout', 'set statement_timeout = 50', 'select pg_sleep(5)'),
];

/** Two connections that are in each other's way. */
const conflicts: readonly Provocation[] = [
  {
    what: 'Postgres: a deadlock',
    code: 'pg_conflict',
    raise: async (scene) => {
      const [one, other] = [await connect(scene), await connect(scene)];
      await one.query('create table if not exists k (v int primary key, n int); insert into k values (1, 0), (2, 0)');
      await one.query('begin; update k set n = 1 where v = 1');
      await other.query('begin; update k set n = 1 where v = 2');
      await Promise.all([one.query('update k set n = 1 where v = 2'), other.query('update k set n = 1 where v = 1')]);
    },
  },
  {
    what: 'Postgres: no order of two transactions',
    code: 'pg_conflict',
    raise: async (scene) => {
      const [one, other] = [await connect(scene), await connect(scene)];
      await one.query('create table s (n int); insert into s values (0)');
      await one.query('begin isolation level repeatable read; select * from s');
      await other.query('update s set n = 1');
      await one.query('update s set n = 2');
    },
  },
  {
    what: 'Postgres: a lock that is held',
    code: 'pg_conflict',
    raise: async (scene) => {
      const [one, other] = [await connect(scene), await connect(scene)];
      await one.query('create table l (n int)');
      await one.query('begin; lock table l');
      await other.query('begin; lock table l nowait');
    },
  },
  {
    what: 'Postgres: a plan of before',
    code: 'pg_connection_lost',
    raise: async (scene) => {
      const client = await connect(scene);
      await client.query('create table c (v int)');
      await client.query({ name: 'kept', text: 'select * from c' });
      await client.query('alter table c add w int');
      await client.query({ name: 'kept', text: 'select * from c' });
    },
  },
];

export const postgresFailures: readonly Provocation[] = [...records, ...statements, ...conflicts];
