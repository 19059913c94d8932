import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { flow, json, parse, table, transform } from '../../src/flow/index.ts';
import { isRecordError, loadAround, refusedLine } from '../../src/flow/poison.ts';
import { contextOf, lines, memorySource, testSink } from './memory.ts';

const into = table('items', { id: 'bigint', note: 'text' });
const steps = [parse(json), transform((row: object) => row)];

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());
beforeEach(async () => {
  await sink.pool.query(`drop table if exists items, parents;
    create table items (source_id bigint, "offset" bigint, id bigint, note text check (note <> 'bad'), primary key (source_id, "offset"))`);
});

const count = async (sql: string): Promise<number> =>
  Number((await sink.pool.query<{ n: string }>(`select (${sql}) as n`)).rows[0]!.n);
const run = (content: string, more: Parameters<typeof contextOf>[0] = {}) =>
  flow({ from: memorySource(content), steps, into, sink }).run(contextOf(more));

/** COPYs that reached the table, counted by the server: a statement trigger fires once for each. */
async function countCopies(): Promise<() => Promise<number>> {
  await sink.pool.query(`drop sequence if exists copies; create sequence copies;
    create or replace function counted() returns trigger language plpgsql as $$ begin perform nextval('copies'); return null; end $$;
    create trigger counted before insert on items for each statement execute function counted()`);
  return () => count('select last_value from copies where is_called');
}

describe('rows that the database refuses', () => {
  it('10,000 of them in one chunk cost at most 2k + 2 COPYs and no bloat', async () => {
    const copies = await countCopies();
    const content = lines(20_000, (index) =>
      JSON.stringify({ id: index, note: index % 2 === 0 ? 'bad' : `note ${index}` }),
    );
    const end = await run(content, { runKey: 'test/10k' });
    expect(end).toMatchObject({ done: true, out: { read: 20_000, loaded: 10_000, quarantined: 10_000 } });
    expect(await copies()).toBeLessThanOrEqual(2 * 10_000 + 2);
    expect(await copies()).toBeGreaterThan(5_000);
    expect(await count(`select count(*) from items`)).toBe(10_000);
    expect(await count(`select pg_relation_size('items')`)).toBeLessThan(2 * 1024 * 1024);
  });

  it('are named with coordinates, bytes and what Postgres said, sealed', async () => {
    const content = lines(3, (index) => JSON.stringify({ id: index, note: index === 1 ? 'bad' : 'good' }));
    await run(content, { runKey: 'test/coordinates' });
    const { rows } = await sink.pool.query<{ off: string; len: string; raw: Buffer; detail: Buffer; id: string }>(
      `select id, off, len, raw, detail from mendflow.dead_letter where run_key = 'test/coordinates'`,
    );
    const bad = content.split('\n')[1]!;
    expect(rows).toHaveLength(1);
    expect([Number(rows[0]!.off), Number(rows[0]!.len)]).toEqual([content.indexOf(bad), bad.length + 1]);
    expect(rows[0]!.raw.includes('bad')).toBe(false);
    expect(sink.seal.open(rows[0]!.raw, `${rows[0]!.id} raw`, 'test').toString()).toBe(bad);
    expect(sink.seal.open(rows[0]!.detail, `${rows[0]!.id} detail`, 'test').toString()).toContain('pg_23514');
  });

  it('without a line (a foreign key) are found by halving', async () => {
    await sink.pool
      .query(`create table parents (id bigint primary key); insert into parents select generate_series(0, 999);
      alter table items add foreign key (id) references parents`);
    const end = await run(
      lines(1_000, (index) => JSON.stringify({ id: index === 617 ? 5_000 : index, note: 'x' })),
      { runKey: 'test/fk' },
    );
    expect(end).toMatchObject({ done: true, out: { loaded: 999, quarantined: 1 } });
    expect(await count(`select count(*) from items where id = 5000`)).toBe(0);
  });

  it('include keys that no index can hold and values out of range', async () => {
    await sink.pool.query('create index on items (note); alter table items alter id type int');
    const long = Array.from({ length: 9_000 }, (_, index) =>
      String.fromCharCode(0x4e00 + ((index * 7_919) % 20_000)),
    ).join('');
    const narrow = table('items', { id: 'integer', note: 'text' });
    const content = lines(5, (index) => JSON.stringify({ id: index, note: index === 2 ? long : 'x' }));
    const end = await flow({ from: memorySource(content), steps, into: narrow, sink }).run(
      contextOf({ runKey: 'test/index' }),
    );
    expect(end).toMatchObject({ done: true, out: { loaded: 4, quarantined: 1 } });
  });

  it('all of them: stops with 20 sample letters, no rows and no ledger', async () => {
    const content = lines(30_000, (index) => JSON.stringify({ id: index, note: 'bad' }));
    const stopped = run(content, { runKey: 'test/all-bad', quarantineShareMax: 0.05 });
    await expect(stopped).rejects.toMatchObject({ failure: { code: 'quarantine_limit' } });
    expect(await count(`select count(*) from mendflow.dead_letter where run_key = 'test/all-bad' and sample`)).toBe(20);
    expect(await count(`select count(*) from mendflow.chunk where run_key = 'test/all-bad'`)).toBe(0);
    expect(await count('select count(*) from items')).toBe(0);
  });

  it('a few too many stop it as well, and a higher limit loads the rest and turns the sample into letters', async () => {
    const content = lines(2_000, (index) => JSON.stringify({ id: index, note: index % 10 === 0 ? 'bad' : 'x' }));
    const from = memorySource(content);
    const job = flow({ from, steps, into, sink });
    const stopped = job.run(contextOf({ runKey: 'test/raised', quarantineShareMax: 0.05 }));
    await expect(stopped).rejects.toThrow(/101 of 2,000 records \(5\.1 %, allowed are 5\.0 %\)/);
    const end = await job.run(contextOf({ runKey: 'test/raised', quarantineShareMax: 0.2 }));
    expect(end).toMatchObject({ done: true, out: { loaded: 1_800, quarantined: 200 } });
    expect(await count(`select count(*) from mendflow.dead_letter where run_key = 'test/raised' and sample`)).toBe(0);
  });

  it('a trigger that drops rows silently undoes the chunk', async () => {
    await sink.pool
      .query(`create or replace function dropped() returns trigger language plpgsql as $$ begin return case when new.id = 3 then null else new end; end $$;
      create trigger dropped before insert on items for each row execute function dropped()`);
    const dropped = run(
      lines(10, (index) => JSON.stringify({ id: index, note: 'x' })),
      { runKey: 'test/dropped' },
    );
    await expect(dropped).rejects.toMatchObject({ failure: { code: 'rows_dropped' } });
    expect(await count('select count(*) from items')).toBe(0);
    expect(await count(`select count(*) from mendflow.chunk where run_key = 'test/dropped'`)).toBe(0);
  });
});

describe('the line of a refusal', () => {
  it.each([
    ['COPY items, line 3, column id: "x"', 3],
    ['JSON data, line 1: {\nCOPY items, line 17, column attributes: "{"', 17],
    ['COPY items, Zeile 12', 12],
    ['COPY "a, b", line 9', 9],
    ['PL/pgSQL function f() line 3 at RAISE\nCOPY items, line 4', 4],
    ['SQL statement "SELECT 1"', undefined],
    [undefined, undefined],
  ])('in %j is %s', (where, line) => {
    expect(refusedLine({ where })).toBe(line);
  });

  it('is asked only of errors about rows', () => {
    for (const code of ['22P02', '22003', '23505', '23514', 'P0001', '54000'])
      expect(isRecordError({ code })).toBe(true);
    for (const code of ['22P04', '40001', '53100', '57P01', '42P01', 'ECONNRESET', undefined])
      expect(isRecordError({ code })).toBe(false);
  });
});

describe('going around refused rows', () => {
  it('loads every good row once, in order, whatever is refused and whether the line is named', async () => {
    for (let seed = 1; seed <= 200; seed++) {
      const rows = (seed * 7) % 40;
      const isBad = (row: number): boolean => ((row + 1) * seed * 2_654_435_761) % 1_000 < (seed % 10) * 100;
      const loaded: number[] = [];
      const refused: number[] = [];
      let copies = 1;
      const errorAt = (from: number, bad: number): object =>
        seed % 2 === 0 ? { code: '23514', where: `COPY t, line ${bad - from + 1}` } : { code: '23503' };
      const first = Array.from({ length: rows }, (_, row) => row).findIndex(isBad);
      if (first < 0) continue;
      await loadAround({
        rows,
        first: errorAt(0, first),
        load: async (runs) => {
          if (runs.length > 0) copies++;
          const sent = runs.flatMap(([from, to]) => Array.from({ length: to - from }, (_, index) => from + index));
          const bad = sent.findIndex(isBad);
          if (bad >= 0) throw Object.assign(new Error('refused'), errorAt(0, bad));
          loaded.push(...sent);
        },
        refused: async (row) => void refused.push(row),
      });
      expect([...loaded, ...refused].toSorted((a, b) => a - b)).toEqual(Array.from({ length: rows }, (_, row) => row));
      expect(loaded).toEqual(loaded.toSorted((a, b) => a - b));
      expect(refused.every(isBad)).toBe(true);
      if (seed % 2 === 0) expect(copies).toBeLessThanOrEqual(2 * refused.length + 2);
    }
  });
});
