// What is promised here: loading again takes no row away that was there, whatever makes rows fewer, before a person said so; and then it is counted.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  datasetSource,
  flow,
  type FlowContext,
  json,
  landDataset,
  parse,
  table,
  type Target,
  transform,
} from '../../src/flow/index.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { contextOf, lines, memorySource, testSink } from './memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());
beforeEach(() =>
  sink.pool.query(
    `drop table if exists goods, priced; create table goods (source_id bigint, "offset" bigint, id int, primary key (source_id, "offset"));
     create table priced (id int primary key, data_date date)`,
  ),
);

const goods = table('goods', { id: 'integer' });
const priced = table('priced', { id: 'integer', data_date: 'date' }, { key: ['id'], dateColumn: 'data_date' });
type Row = { id: number };
type Of = (row: Row) => Row | null;
const same: Of = (row) => row;
const broken: Of = (row) => {
  if (row.id < 100) throw new TypeError('undefined is no function');
  return row;
};
const accepted = { actor: 'ada', reason: 'meant so', of: 'rows_fewer' };

let runs = 0;
const nextRun = (): string => `test/fewer/${++runs}`;
const content = (count: number): string => lines(count, (id) => JSON.stringify({ id }));
const load = async (
  runKey: string,
  code: Of,
  {
    rows = 4,
    into = goods,
    recordsMax = 20_000,
    ...more
  }: Partial<FlowContext> & {
    rows?: number;
    into?: Target;
    recordsMax?: number;
  } = {},
) => {
  const from = memorySource(content(rows), runKey);
  const steps = [parse(json), transform(code)];
  const end = await flow({ from, steps, into, sink, recordsMax, lanes: 1 }).run(contextOf({ runKey, ...more }));
  await sink.pool.query('update mendflow.run set generation = $2 where key = $1', [runKey, more.generation ?? 1]);
  if (!end.done) throw new Error('The flow did not end.');
  return end.out;
};
const stored = async (name = 'goods') => (await sink.pool.query(`select id, xmin::text from ${name} order by id`)).rows;
const letters = async (runKey: string) =>
  (
    await sink.pool.query<{ sample: boolean; state: string; line: string }>(
      'select sample, state, line_no as line from mendflow.dead_letter where run_key = $1 order by off',
      [runKey],
    )
  ).rows;
const asks = { failure: { code: 'rows_fewer', class: 'permanent' } };

describe('rows by position that would become fewer', () => {
  const shapes: [string, Of, () => Promise<unknown>][] = [
    ['because the code throws for all', broken, async () => undefined],
    ['because the code throws for one', (row) => (row.id === 2 ? broken(row) : row), async () => undefined],
    ['because a filter leaves one out', (row) => (row.id === 1 ? null : row), async () => undefined],
    ['because a filter leaves all out', () => null, async () => undefined],
    [
      'because a value fits its column no more',
      (row) => ({ id: row.id === 3 ? ('x' as never) : row.id }),
      async () => undefined,
    ],
    [
      'because the table refuses one now',
      same,
      () => sink.pool.query('alter table goods add check (id <> 2) not valid'),
    ],
  ];
  it.each(shapes)('are all left as they are, %s', async (_why, code, before) => {
    const runKey = nextRun();
    await load(runKey, same);
    await before();
    const rows = await stored();
    const asked: unknown = await load(runKey, code, { generation: 2 }).catch((error: unknown) => error);
    expect(asked).toMatchObject(asks);
    expect(String(asked)).toMatch(/this deletes [124] rows? of the table: mendflow accept-loss /);
    // What was wrong is said with the question, and not only in the letters.
    expect(String(asked)).toMatch(/quarantined( \([14] [a-z_]+\))? and [014] skipped\)/);
    expect(/[14] were quarantined \(/.test(String(asked))).toBe((await letters(runKey)).length > 0);
    expect(await stored()).toEqual(rows);
    expect((await letters(runKey)).every(({ sample, state }) => sample && state === 'open')).toBe(true);
    // The code is mended, and the same generation goes on.
    await sink.pool.query('alter table goods drop constraint if exists goods_id_check');
    expect(await load(runKey, same, { generation: 2 })).toMatchObject({ read: 4, duplicate: 4 });
    expect(await stored()).toEqual(rows);
    expect(await closeRun(sink.pool, runKey, { limits: { load: 0.05 } })).toMatchObject({ state: 'done', lost: 0 });
    expect((await letters(runKey)).filter(({ state }) => state === 'open')).toEqual([]);
  });

  /** As Node says it of a typo. */
  const typo =
    (isOf: (id: number) => boolean): Of =>
    (row) =>
      isOf(row.id) ? (row as unknown as { items: Row[] }).items[0]! : row;

  it('are none that the code throws for: it is the code then, also where somebody accepted fewer before', async () => {
    const runKey = nextRun();
    await load(runKey, same);
    const all = typo(() => true);
    for (const acceptLoss of [undefined, accepted]) {
      const asked: unknown = await load(runKey, all, { generation: 2, acceptLoss }).catch((error: unknown) => error);
      expect(asked).toMatchObject({ failure: { code: 'code_bug' } });
      expect(String(asked)).toMatch(
        /4 of 4 records are bad, nearly all by an error that the code of load threw at test\/flow\/fewer\.test\.ts:\d+:\d+: .* no row deleted/,
      );
      expect(String(asked)).not.toContain('accept-loss');
    }
    expect(await stored()).toHaveLength(4);
    expect(await letters(runKey)).toHaveLength(4);
    expect(await load(runKey, same, { generation: 2 })).toMatchObject({ duplicate: 4 });
  });

  it('are asked about with the place where the code throws for some', async () => {
    const runKey = nextRun();
    await load(runKey, same);
    const asked: unknown = await load(
      runKey,
      typo((id) => id === 2),
      { generation: 2 },
    ).catch((error: unknown) => error);
    expect(asked).toMatchObject(asks);
    expect(String(asked)).toMatch(
      /^\S* ?The code of load threw an error at test\/flow\/fewer\.test\.ts:\d+:\d+ for its bad records, so look at the code there first: .* goods \(bytes/,
    );
    expect(String(asked)).toContain(`mendflow letters list --run ${runKey}`);
  });

  it('are asked about in the chunk that it is about, and what was read again before it stays', async () => {
    const runKey = nextRun();
    await load(runKey, same, { rows: 100 });
    const one: Of = (row) => (row.id === 57 ? null : row);
    const again = { rows: 100, generation: 2, recordsMax: 10 };
    await expect(load(runKey, one, again)).rejects.toMatchObject(asks);
    expect(await stored()).toHaveLength(100);
    const bins = await load(runKey, one, { ...again, acceptLoss: accepted });
    expect(bins).toMatchObject({ read: 100, duplicate: 99, skipped: 1 });
    expect(await stored()).toHaveLength(99);
    expect(await closeRun(sink.pool, runKey)).toMatchObject({ state: 'degraded', lost: 1, balanced: true });
  });

  it('go where somebody said so, and the run ends degraded with their number', async () => {
    const runKey = nextRun();
    await load(runKey, same);
    const bins = await load(runKey, broken, { generation: 2, acceptLoss: accepted });
    expect(bins).toMatchObject({ read: 4, quarantined: 4 });
    expect(await stored()).toEqual([]);
    expect(await closeRun(sink.pool, runKey, { limits: { load: 0.05 } })).toMatchObject({ state: 'degraded', lost: 4 });
    const { rows } = await sink.pool.query('select reason from mendflow.chunk where run_key = $1 and lost > 0', [
      runKey,
    ]);
    expect(rows).toEqual([{ reason: 'fewer rows accepted by ada: meant so' }]);
  });

  it('are not asked about where as many or more come', async () => {
    const runKey = nextRun();
    await load(runKey, (row) => (row.id === 1 ? null : row));
    expect(await load(runKey, (row) => (row.id === 2 ? null : row), { generation: 2 })).toMatchObject({ loaded: 1 });
    expect(await load(runKey, same, { generation: 3 })).toMatchObject({ loaded: 1, duplicate: 3 });
    expect(await closeRun(sink.pool, runKey)).toMatchObject({ state: 'done' });
  });
});

describe('rows of a date by key that would become fewer', () => {
  const gone =
    (...ids: number[]): Of =>
    (row) =>
      ids.includes(row.id) ? null : row;
  it.each([
    ['all', 4, gone(0, 1, 2, 3)],
    ['one of four', 4, gone(2)],
    ['three of forty', 40, gone(1, 2, 3)],
  ])('are kept, and a person is asked: %s', async (_how, rows, code) => {
    const runKey = nextRun();
    await load(runKey, same, { rows, into: priced });
    const again = { rows, into: priced, generation: 2 };
    await expect(load(runKey, code, again)).rejects.toMatchObject(asks);
    expect(await stored('priced')).toHaveLength(rows);
    await load(runKey, code, { ...again, acceptLoss: accepted });
    const left = (await stored('priced')).length;
    expect(left).toBeLessThan(rows);
    expect(await closeRun(sink.pool, runKey)).toMatchObject({ state: 'degraded', lost: rows - left });
  });

  it('are removed where no more than one in twenty did not come again', async () => {
    const runKey = nextRun();
    await load(runKey, same, { rows: 40, into: priced });
    await load(runKey, gone(7, 8), { rows: 40, into: priced, generation: 2 });
    expect(await stored('priced')).toHaveLength(38);
    expect(await closeRun(sink.pool, runKey)).toMatchObject({ state: 'done', lost: 0 });
  });
});

it('asks before records that were made anew replace more of them', async () => {
  const runKey = nextRun();
  const round = async (records: number, more: Partial<FlowContext> = {}) => {
    const about = { schema: `n/${records}`, asOf: new Date(), sink };
    const ref = await landDataset(contextOf({ runKey, stage: 'extract' }), about, async ({ put }) => {
      for (let id = 0; id < records; id++) await put({ id: id + records });
      return {};
    });
    const from = datasetSource(ref, { schema: ref.schema });
    return await flow({ from, steps: [parse(json)], into: goods, sink }).run(contextOf({ runKey, ...more }));
  };
  await round(30);
  await expect(round(20)).rejects.toMatchObject(asks);
  expect(await stored()).toHaveLength(50);
  await round(20, { acceptLoss: accepted });
  expect(await stored()).toHaveLength(20);
  expect(await closeRun(sink.pool, runKey)).toMatchObject({ state: 'degraded', lost: 10 });
});
