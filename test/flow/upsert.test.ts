import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { flow, type FlowContext, flowToDataset, json, landDataset, parse, table } from '../../src/flow/index.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { contextOf, memorySource, testSink } from './memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());
beforeEach(() =>
  sink.pool.query(
    `drop table if exists prices; create table prices (item text, shop text, price numeric check (price >= 0), revision bigint not null, data_date date, generation int not null, primary key (shop, item))`,
  ),
);

const into = table(
  'prices',
  { item: 'text', shop: 'text', price: 'numeric', revision: 'bigint', data_date: 'date', generation: 'integer' },
  { key: ['item', 'shop'], version: ['revision'], dateColumn: 'data_date' },
);
interface Price {
  readonly item: string;
  readonly shop: string;
  readonly price: number;
  readonly revision: number;
}
const price = (item: string, more: Partial<Price> = {}): Price => ({ item, shop: 's', price: 1, revision: 1, ...more });
let runs = 0;
const load = async (prices: readonly Price[], more: Parameters<typeof contextOf>[0] = {}, recordsMax?: number) => {
  const runKey = more.runKey ?? `test/upsert/${++runs}`;
  const content = prices.map((one) => `${JSON.stringify(one)}\n`).join('');
  const options = recordsMax === undefined ? {} : { recordsMax };
  const end = await flow({ from: memorySource(content), steps: [parse(json)], into, sink, ...options }).run(
    contextOf({ ...more, runKey }),
  );
  if (!end.done) throw new Error('The flow did not end.');
  return end.out;
};
const stored = async () =>
  (
    await sink.pool.query<{ item: string; price: string; revision: string; generation: number; xmin: string }>(
      'select item, shop, price::text, revision::text, generation, xmin::text from prices order by item, shop',
    )
  ).rows;

describe('rows by a key of their own', () => {
  it('go into a partitioned table as into any other, the first time and again', async () => {
    await sink.pool.query(
      'drop table prices; create table prices (item text, shop text, price numeric, revision bigint not null, data_date date, generation int not null, primary key (shop, item)) partition by hash (shop); create table if not exists prices_all partition of prices for values with (modulus 1, remainder 0)',
    );
    const runKey = 'test/upsert/partitioned';
    expect(await load([price('a')], { runKey })).toMatchObject({ loaded: 1 });
    const again = [price('a', { price: 2, revision: 2 }), price('b')];
    expect(await load(again, { runKey, generation: 2 })).toMatchObject({ loaded: 2 });
    expect((await stored()).map((row) => [row.item, row.price])).toEqual([
      ['a', '2'],
      ['b', '1'],
    ]);
  });

  it('are inserted, updated where they differ, and not touched where they do not', async () => {
    expect(await load([price('a'), price('b')])).toMatchObject({ loaded: 2, duplicate: 0 });
    const [before] = await stored();
    expect(await load([price('a'), price('b', { price: 2, revision: 2 }), price('c')])).toMatchObject({
      loaded: 2,
      duplicate: 1,
    });
    const after = await stored();
    expect(after[0]).toEqual(before);
    expect(after.map((row) => [row.item, row.price])).toEqual([
      ['a', '1'],
      ['b', '2'],
      ['c', '1'],
    ]);
  });

  it('leave the newest of one key, in one chunk and over chunks, and count the others as duplicates', async () => {
    const three = [price('a', { revision: 2, price: 2 }), price('a', { revision: 3, price: 3 }), price('a')];
    expect(await load(three)).toMatchObject({ read: 3, loaded: 1, duplicate: 2 });
    expect(await stored()).toMatchObject([{ revision: '3', price: '3' }]);
    await sink.pool.query('truncate prices');
    expect(await load(three, {}, 1)).toMatchObject({ read: 3, quarantined: 0 });
    expect(await stored()).toMatchObject([{ revision: '3', price: '3' }]);
  });

  it('compare versions as what they are: 9 comes before 10', async () => {
    await load([price('a', { revision: 10, price: 10 })]);
    await load([price('a', { revision: 9, price: 9 })]);
    expect(await stored()).toMatchObject([{ revision: '10', price: '10' }]);
  });

  it('do not let an older generation overwrite a newer one of the same version', async () => {
    await load([price('a', { price: 5 })], { generation: 2 });
    await load([price('a', { price: 4 })], { generation: 1 });
    expect(await stored()).toMatchObject([{ price: '5', generation: 2 }]);
  });

  it('end the same in whatever order the same loads come', async () => {
    const one = fc.record({
      item: fc.constantFrom('a', 'b', 'c'),
      shop: fc.constantFrom('s', 't'),
      revision: fc.integer({ min: 1, max: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(one, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 4 }),
        async (loads) => {
          // What a revision says is always the same.
          const whole = loads.map((rows) => rows.map((row) => ({ ...row, price: row.revision * 2 })));
          const ends: unknown[] = [];
          for (const order of [whole, whole.toReversed(), [...whole, ...whole]]) {
            await sink.pool.query('truncate prices');
            for (const rows of order) await load(rows);
            ends.push((await stored()).map((row) => ({ ...row, xmin: undefined })));
          }
          expect(ends[1]).toEqual(ends[0]);
          expect(ends[2]).toEqual(ends[0]);
        },
      ),
      { numRuns: 6 },
    );
  });

  it('become letters where the table refuses them, and the others are loaded', async () => {
    const runKey = 'test/upsert/refused';
    const bins = await load([price('a'), price('b', { price: -1 }), price('c')], { runKey });
    expect(bins).toMatchObject({ read: 3, loaded: 2, quarantined: 1 });
    expect((await stored()).map(({ item }) => item)).toEqual(['a', 'c']);
    expect(await closeRun(sink.pool, runKey)).toMatchObject({ balanced: true });
  });

  it('are removed by a date that is loaded again without them; rows of other dates stay', async () => {
    await load([price('a'), price('b')], { runKey: 'test/again', dataDate: '2026-01-01' });
    await load([price('z')], { dataDate: '2026-01-02' });
    const acceptLoss = { actor: 'ada', reason: 'b is not sold any more', of: 'rows_fewer' };
    await load([price('a')], { runKey: 'test/again', dataDate: '2026-01-01', generation: 2, acceptLoss });
    expect((await stored()).map(({ item }) => item)).toEqual(['a', 'z']);
    expect((await stored())[0]).toMatchObject({ generation: 1 });
  });

  it('are all kept where a record of the date that is loaded again became a letter', async () => {
    await load([price('a'), price('b')], { runKey: 'test/again-bad', dataDate: '2026-01-01' });
    const again = [price('a', { revision: 2, price: 2 }), price('b', { revision: 2, price: -1 })];
    await load(again, { runKey: 'test/again-bad', dataDate: '2026-01-01', generation: 2 });
    expect(await stored()).toMatchObject([
      { item: 'a', price: '2' },
      { item: 'b', price: '1' },
    ]);
  });

  it('are all kept where a loss was accepted, in whichever stage', async () => {
    const lost = { actor: 'ann', reason: 'agreed' };
    const accepts = {
      load: async (ctx: FlowContext) => {
        const from = memorySource('1\n2\n');
        await flow({ from, steps: [parse(json)], into, sink }).run({ ...ctx, acceptLoss: lost });
      },
      validate: async (ctx: FlowContext) => {
        const from = memorySource('1\n2\n');
        const options = { from, steps: [parse(json)], into: { schema: 's/1' }, sink };
        await flowToDataset(options).run({ ...ctx, stage: 'validate', acceptLoss: lost });
      },
      extract: async (ctx: FlowContext) => {
        const options = { schema: 's/1', asOf: new Date(), sink };
        await landDataset({ ...ctx, stage: 'extract', acceptLoss: lost }, options, () => Promise.resolve({}));
      },
    };
    for (const [where, accept] of Object.entries(accepts)) {
      await sink.pool.query('truncate prices');
      const run = { runKey: `test/again-${where}`, dataDate: '2026-01-01' };
      await load([price('a'), price('b')], run);
      await accept(contextOf({ ...run, generation: 2 }));
      await load([price('a')], { ...run, generation: 2 });
      expect(
        (await stored()).map(({ item }) => item),
        where,
      ).toEqual(['a', 'b']);
    }
  });

  it('need a unique index on their key, and the sentence says how to make one', async () => {
    await sink.pool.query('alter table prices drop constraint prices_pkey');
    await expect(load([price('a')])).rejects.toMatchObject({
      failure: { code: 'pg_schema', text: expect.stringContaining('add primary key ("item", "shop")') as string },
    });
  });
});
