// What is promised here: a column that the table does not have loads nothing, and is named; one odd record is a letter, and the others are loaded.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { flow, json, parse, type Step, table, type Target, transform } from '../../src/flow/index.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { contextOf, lines, memorySource, testSink } from './memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());
beforeEach(() =>
  sink.pool.query(
    `drop table if exists sales; create table sales (source_id bigint, "offset" bigint, id int, placed_at text, primary key (source_id, "offset"))`,
  ),
);

const columns = { id: 'integer', placed_at: 'text' } as const;
const sales: Target = table('sales', columns);
const content = (count: number): string => lines(count, (id) => JSON.stringify({ id, at: 'noon' }));
let runs = 0;
const load = (text: string, steps: Step[], { into = sales, runKey = `test/columns/${++runs}` } = {}) =>
  flow({ from: memorySource(text), steps, into, sink }).run(contextOf({ runKey, quarantineShareMax: 0.05 }));
const stored = async () => (await sink.pool.query('select id, placed_at from sales order by id')).rows;
const as = (change: (row: { id: number; at: string }) => object): Step[] => [parse(json), transform(change)] as Step[];

describe('a column that the table does not have', () => {
  it.each([
    [248, 'palced_at', 'Did you mean "placed_at"?'],
    [2, 'Placed_At', 'Did you mean "placed_at"?'],
    [3_000, 'placedat', 'Did you mean "placed_at"?'],
    [
      5,
      'customer',
      'The steps give "customer" in every row, and sales as declared takes only id, placed_at from steps.',
    ],
  ])('in all of %i rows is the mistake of the code: %s', async (count, name, says) => {
    await expect(
      load(
        content(count),
        as(({ id, at }) => ({ id, [name]: at })),
      ),
    ).rejects.toMatchObject({
      failure: { code: 'code_bug', text: expect.stringContaining(says) as string },
    });
    expect(await stored()).toEqual([]);
  });

  it('is named also where a value is passed on as it is', async () => {
    await expect(load(content(3), [parse(json) as Step])).rejects.toMatchObject({
      failure: { code: 'code_bug', text: expect.stringContaining('"at"') as string },
    });
    await expect(load(content(3), [parse((text: string) => text) as Step])).rejects.toMatchObject({
      failure: { code: 'code_bug', text: expect.stringContaining('"value"') as string },
    });
  });

  it('is told with what to do: leave it out by name, or declare it and add it', async () => {
    await expect(load(content(3), [parse(json) as Step])).rejects.toMatchObject({
      failure: {
        text: expect.stringContaining(
          "If the records have grown, take the columns by name in a step, as transform(({ id, placed_at }) => ({ id, placed_at })) does; to load it, too, declare it in table('sales', …) and add it to the table. Deploy, then retry.",
        ) as string,
      },
    });
  });

  it('in some records makes letters of those, with the column, and the others are loaded', async () => {
    const runKey = 'test/columns/some';
    const steps = as(({ id, at }) => (id === 7 ? { id, palced_at: at } : { id, placed_at: at }));
    expect(await load(content(100), steps, { runKey })).toMatchObject({ out: { loaded: 99, quarantined: 1 } });
    const { rows } = await sink.pool.query<{ id: string; line: string; detail: Buffer }>(
      'select id, line_no as line, detail from mendflow.dead_letter where run_key = $1',
      [runKey],
    );
    expect(rows[0]!.line).toBe('8');
    expect(JSON.parse(sink.seal.open(rows[0]!.detail, `${rows[0]!.id} detail`, 'test').toString())).toMatchObject({
      violations: [{ field: 'palced_at', code: 'no_such_column' }],
    });
    expect(await closeRun(sink.pool, runKey)).toMatchObject({ balanced: true });
  });

  it('shows no name that is no name', async () => {
    const failure = load(
      content(3),
      as(({ id }) => ({ id, '4111 1111': 1, 'ann@example.com': 2 })),
    );
    await expect(failure).rejects.toMatchObject({
      failure: { code: 'code_bug', text: expect.not.stringMatching(/4111|ann/) as string },
    });
  });

  it('is no column where it has no value', async () => {
    const steps = as(({ id, at }) => ({ id, placed_at: at, note: undefined, generation: 4 }));
    expect(await load(content(3), steps)).toMatchObject({ out: { loaded: 3 } });
  });
});

describe('a column of the table that is not declared', () => {
  it('is asked for at once where every row has to fill it', async () => {
    await sink.pool.query('alter table sales add customer text not null');
    await expect(
      load(
        content(3),
        as(({ id }) => ({ id })),
      ),
    ).rejects.toMatchObject({
      failure: { code: 'pg_schema', text: expect.stringContaining('not declared: customer.') as string },
    });
    expect(await stored()).toEqual([]);
  });

  it.each([
    'text',
    "text not null default 'x'",
    'int generated always as identity',
    'int generated always as (id) stored',
  ])('may be %s', async (type) => {
    await sink.pool.query(`alter table sales add more ${type}`);
    expect(
      await load(
        content(3),
        as(({ id }) => ({ id })),
      ),
    ).toMatchObject({ out: { loaded: 3 } });
  });
});

it('gives a row that the database refused its line, also where the table keeps none', async () => {
  await sink.pool.query('alter table sales add check (id <> 41)');
  const runKey = 'test/columns/line';
  const blank = { skip: (row: { id: number; at: string }) => (row.id === 3 ? null : { id: row.id }) };
  expect(await load(content(60), as(blank.skip as never), { runKey })).toMatchObject({
    out: { loaded: 58, quarantined: 1 },
  });
  const { rows } = await sink.pool.query(
    'select line_no::int as line, code from mendflow.dead_letter where run_key = $1',
    [runKey],
  );
  expect(rows).toEqual([{ line: 42, code: 'record_refused' }]);
});
