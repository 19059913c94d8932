import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate } from '../../src/store/migrate.ts';
import { checkSchema } from '../../src/store/schema.ts';
import { openPool } from '../../src/store/db.ts';
import { ensureRun } from '../../src/store/ensure-run.ts';
import { giveUp } from '../../src/store/ledger.ts';
import { preflight } from '../../src/store/preflight.ts';
import { coverers, earlierSlice, firstFree, otherPlans, writeSlice } from '../../src/store/plans.ts';
import { findSources, insertSource } from '../../src/store/sources.ts';
import { table } from '../../src/flow/index.ts';
import { testSink } from '../flow/memory.ts';
import { freshDatabase } from '../support/database.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());

describe('a source', () => {
  it('is told by its bytes, not by a text of them, and has versions', async () => {
    const name = Buffer.from([0x61, 0xff, 0x62]);
    const [first, same] = await Promise.all([
      insertSource(sink.pool, { pipeline: 'p', name }),
      insertSource(sink.pool, { pipeline: 'p', name }),
    ]);
    await insertSource(sink.pool, { pipeline: 'p', name, version: 2, hint: { inode: 7 } });
    expect(same.id).toBe(first.id);
    expect(await findSources(sink.pool, { pipeline: 'p', target: '' }, name)).toMatchObject([
      { version: 2, hint: { inode: 7 } },
      { version: 1 },
    ]);
    expect(await findSources(sink.pool, { pipeline: 'p', target: '' }, Buffer.from('a\ufffdb'))).toEqual([]);
  });

  it('of another table is another one', async () => {
    const name = Buffer.from('same');
    const [one, other] = await Promise.all([
      insertSource(sink.pool, { pipeline: 'p', target: 'one', name }),
      insertSource(sink.pool, { pipeline: 'p', target: 'other', name }),
    ]);
    expect(one.id).not.toBe(other.id);
  });

  it('is covered by what was committed: a plan of another run reserves nothing, and bytes given up by an aborted one are free', async () => {
    const { id: sourceId } = await insertSource(sink.pool, { pipeline: 'p', name: Buffer.from('growing') });
    const on = (dataDate: string, generation = 1) => ({
      runKey: `p/${dataDate}`,
      generation,
      stage: 'load[growing]',
      sourceId,
    });
    const [first, second] = ['2026-11-21', '2026-11-22'] as const;
    for (const dataDate of [first, second])
      await ensureRun(sink.pool, { runKey: `p/${dataDate}`, pipeline: 'p', dataDate, generation: 1 });
    const plan = { from: 0, to: 100, sealed: false };
    await writeSlice(sink.pool, on(first), plan, { place: Buffer.from('/here') });
    await giveUp(sink.pool, on(first), [{ from: 0, to: 60 }], { epoch: '1', reason: 'loss accepted' });
    expect(await otherPlans(sink.pool, on(second))).toMatchObject([{ ...plan, state: 'running', begun: true }]);
    expect(await otherPlans(sink.pool, on(first))).toEqual([]);
    expect(await firstFree(sink.pool, on(second), 0, [])).toBe(60);
    expect(await firstFree(sink.pool, on(second), 0, [plan])).toBe(100);
    expect(await coverers(sink.pool, on(second), { from: 10, to: 80 })).toEqual([
      { runKey: `p/${first}`, did: 'given up', bytes: 50 },
    ]);
    await giveUp(sink.pool, on(first), [{ from: 60, to: 100 }], { epoch: '1', reason: 'aborted', leftOpen: true });
    expect(await firstFree(sink.pool, on(second), 0, [])).toBe(60);
    await writeSlice(sink.pool, on(second), { from: 60, to: 150, sealed: true });
    const stands = await writeSlice(sink.pool, on(second), { from: 100, to: 999, sealed: false });
    expect(stands).toEqual({ from: 60, to: 150, sealed: true });
    expect(await earlierSlice(sink.pool, on(second, 2))).toEqual({ from: 60, to: 150, sealed: true });
    expect(await earlierSlice(sink.pool, on(second, 1))).toBeUndefined();
  });

  it('may have nothing new', async () => {
    const { id: sourceId } = await insertSource(sink.pool, { pipeline: 'p', name: Buffer.from('empty') });
    await ensureRun(sink.pool, { runKey: 'p/empty', pipeline: 'p', dataDate: '2026-11-21', generation: 1 });
    const slice = await writeSlice(
      sink.pool,
      { runKey: 'p/empty', generation: 1, stage: 'load', sourceId },
      { from: 0, to: 0, sealed: true },
    );
    expect(slice).toEqual({ from: 0, to: 0, sealed: true });
  });
});

describe('the schema', () => {
  it('is migrated once, however many start at once, and every table and column says what it is', async () => {
    const { url, drop } = await freshDatabase();
    const before = openPool({ url, applicationName: 'test' });
    await expect(checkSchema(before)).rejects.toThrow(/npx mendflow migrate/);
    const ran = await Promise.all([migrate(url), migrate(url), migrate(url)]);
    expect(ran.filter((names) => names.length > 0)).toHaveLength(1);
    await checkSchema(before);
    const { rows } = await before.query<{ what: string }>(
      `select c.relname || coalesce('.' || a.attname, '') as what from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       where (c.relnamespace = 'mendflow'::regnamespace and c.relname <> 'migration' or c.relname = 'log_entries') and c.relkind = 'r'
         and (col_description(c.oid, a.attnum) is null or obj_description(c.oid, 'pg_class') is null) order by 1`,
    );
    expect(rows.map(({ what }) => what)).toEqual([]);
    await before.query(`insert into mendflow.migration (name, run_on) values ('9999_future', now())`);
    await expect(checkSchema(before)).rejects.toThrow(/ahead of this release: it has 9999_future/);
    await before.query(
      `delete from mendflow.migration where name = '9999_future'; update mendflow.migration_checksum set sha256 = 'other' where name like '0001%'`,
    );
    await expect(migrate(url)).rejects.toThrow(/0001_data_plane was changed after it ran/);
    await before.end();
    await drop();
  });
});

describe('a target', () => {
  const into = table('checked', { id: 'bigint', note: 'text', amount: 'numeric', at: 'timestamptz' });
  const good = `drop table if exists checked cascade; create table checked (source_id bigint, "offset" bigint, id bigint, note varchar(20), amount numeric(10,2), at timestamptz, primary key (source_id, "offset"))`;

  it.each([
    ['that is missing', 'drop table checked', 'pg_schema', /does not exist.*create table "checked"/],
    [
      'that lacks a column',
      'alter table checked drop note',
      'pg_schema',
      /lacks note text.*alter table "checked" add "note" text/,
    ],
    ['with another type', 'alter table checked alter id type int', 'pg_schema', /id is integer, declared bigint/],
    ['without its key', 'alter table checked drop constraint checked_pkey', 'pg_schema', /no unique index/],
    ['with a deferrable constraint', 'alter table checked add unique (id) deferrable', 'sink_unsafe', /deferrable/],
    ['with a rule', 'create rule r as on insert to checked do instead nothing', 'sink_unsafe', /rules \(r\)/],
    [
      'with forced row security',
      'alter table checked enable row level security, force row level security',
      'sink_unsafe',
      /row level security/,
    ],
    [
      'that is a view',
      'alter table checked rename to behind; create view checked as select * from behind',
      'sink_unsafe',
      /no plain or partitioned table/,
    ],
  ])('%s is refused before anything is read', async (_what, change, code, text) => {
    await sink.pool.query(`${viewGone} drop table if exists behind; ${good}; ${change}`);
    const refused = await preflight(sink.pool, into).catch((error: unknown) => error);
    expect(refused).toMatchObject({ failure: { code } });
    expect((refused as Error).message).toMatch(text);
  });
  const viewGone = `do $$ begin if exists (select from pg_views where viewname = 'checked') then drop view checked; end if; end $$;`;

  it('with a trigger is warned of, and one without anything passes', async () => {
    await sink.pool.query(`${viewGone} drop table if exists behind; ${good}`);
    expect(await preflight(sink.pool, into)).toEqual([]);
    await sink.pool.query(
      `create or replace function f() returns trigger language plpgsql as 'begin return new; end'; create trigger t before insert on checked for each row execute function f()`,
    );
    expect(await preflight(sink.pool, into)).toEqual([expect.stringContaining('trigger t')]);
  });
});
