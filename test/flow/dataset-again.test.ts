// What is promised here: a stage that is told to make its dataset again does so where the sealed one is damaged or of another schema.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type DatasetRef,
  datasetSource,
  flow,
  flowToDataset,
  json,
  landDataset,
  parse,
  readDataset,
  table,
  type Target,
} from '../../src/flow/index.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { contextOf, lines, memorySource, testSink } from './memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());

let runs = 0;
const nextRun = (): string => `test/2026-11-21/again-${++runs}`;
const readAll = async (ref: DatasetRef, schema: string): Promise<unknown[]> => {
  const all: unknown[] = [];
  for await (const one of readDataset(sink.pool, ref, { schema })) all.push(one);
  return all;
};
const damage = (ref: DatasetRef) =>
  sink.pool.query(
    `update mendflow.dataset_part set body = set_byte(body, 20, (get_byte(body, 20) + 1) % 256) where dataset_id = $1`,
    [ref.dataset],
  );
const stateOf = async (ref: DatasetRef): Promise<unknown> =>
  (
    await sink.pool.query(
      'select state, (select count(*)::int from mendflow.dataset_part p where p.dataset_id = d.id) as parts from mendflow.dataset d where id = $1',
      [ref.dataset],
    )
  ).rows[0];

type Make = (runKey: string, schema: string) => Promise<DatasetRef>;
const makers: readonly (readonly [string, Make])[] = [
  [
    'gathered in one go',
    (runKey, schema) =>
      landDataset(contextOf({ runKey, stage: 'extract' }), { schema, asOf: new Date(), sink }, async ({ put }) => {
        for (let n = 0; n < 3; n++) await put({ n });
        return {};
      }),
  ],
  [
    'made by a flow',
    async (runKey, schema) => {
      const from = memorySource(
        lines(3, (n) => JSON.stringify({ n })),
        runKey,
      );
      const job = flowToDataset({ from, steps: [parse(json)], into: { schema }, sink });
      const end = await job.run(contextOf({ runKey, stage: 'extract' }));
      if (!end.done) throw new Error('The flow did not end.');
      return end.out;
    },
  ],
];

describe.each(makers)('a dataset %s', (_how, make) => {
  const want = [{ n: 0 }, { n: 1 }, { n: 2 }];

  it('is made again where a part of it is damaged', async () => {
    const runKey = nextRun();
    const before = await make(runKey, 'n/1');
    await damage(before);
    const after = await make(runKey, 'n/1');
    expect(after.dataset).not.toBe(before.dataset);
    expect(await readAll(after, 'n/1')).toEqual(want);
    expect(await stateOf(before)).toEqual({ state: 'gone', parts: 0 });
  });

  it('is made again where its maker now writes another schema', async () => {
    const runKey = nextRun();
    const before = await make(runKey, 'n/1');
    const after = await make(runKey, 'n/2');
    expect(after).toMatchObject({ schema: 'n/2', records: 3 });
    expect(await readAll(after, 'n/2')).toEqual(want);
    expect(await stateOf(before)).toEqual({ state: 'gone', parts: 0 });
  });

  it('is left as it is where it is whole', async () => {
    const runKey = nextRun();
    expect(await make(runKey, 'n/1')).toEqual(await make(runKey, 'n/1'));
  });
});

describe('records that were loaded and are then made again as others', () => {
  const land = (runKey: string, schema: string, ids: readonly number[]): Promise<DatasetRef> =>
    landDataset(contextOf({ runKey, stage: 'extract' }), { schema, asOf: new Date(), sink }, async ({ put }) => {
      for (const id of ids) await put({ id, seen: schema });
      return {};
    });
  const load = async (runKey: string, ref: DatasetRef, into: Target): Promise<void> => {
    const from = datasetSource(ref, { schema: ref.schema });
    const end = await flow({ from, steps: [parse(json)], into, sink }).run(contextOf({ runKey, stage: 'load' }));
    if (!end.done) throw new Error('The flow did not end.');
  };
  const idsIn = async (name: string): Promise<unknown[]> =>
    (await sink.pool.query<{ id: number; seen: string }>(`select id, seen from ${name} order by id, seen`)).rows.map(
      ({ id, seen }) => `${id} ${seen}`,
    );

  it('are there once in a table by position', async () => {
    await sink.pool.query(
      'drop table if exists found; create table found (source_id bigint, "offset" bigint, id int, seen text, unique (source_id, "offset"))',
    );
    const into = table('found', { id: 'integer', seen: 'text' });
    const runKey = nextRun();
    await load(nextRun(), await land(nextRun(), 'n/1', [9]), into);
    await load(runKey, await land(runKey, 'n/1', [0, 1, 2]), into);
    await load(runKey, await land(runKey, 'n/2', [1, 2, 3]), into);
    expect(await idsIn('found')).toEqual(['1 n/2', '2 n/2', '3 n/2', '9 n/1']);
    expect(await closeRun(sink.pool, runKey)).toMatchObject({ balanced: true, read: 3, loaded: 3 });
  });

  it('are there once in a table by position, also when they are as they were first', async () => {
    await sink.pool.query('truncate found');
    const into = table('found', { id: 'integer', seen: 'text' });
    const runKey = nextRun();
    await load(runKey, await land(runKey, 'n/1', [0, 1]), into);
    await land(runKey, 'n/2', [1, 2]);
    await load(runKey, await land(runKey, 'n/1', [0, 1]), into);
    expect(await idsIn('found')).toEqual(['0 n/1', '1 n/1']);
    expect(await closeRun(sink.pool, runKey)).toMatchObject({ balanced: true, read: 2, quarantined: 0 });
  });

  it('ask before they replace others where not all of them could be read', async () => {
    await sink.pool.query('truncate found');
    const into = table('found', { id: 'integer', seen: 'text' });
    const runKey = nextRun();
    await load(runKey, await land(runKey, 'n/1', [0, 1]), into);
    const poorer = await land(runKey, 'n/2', [1, 2 ** 40]);
    await expect(load(runKey, poorer, into)).rejects.toMatchObject({ failure: { code: 'rows_fewer' } });
    expect(await idsIn('found')).toEqual(['0 n/1', '1 n/1', '1 n/2']);
    const from = datasetSource(poorer, { schema: poorer.schema });
    const acceptLoss = { actor: 'ann', reason: 'agreed' };
    await flow({ from, steps: [parse(json)], into, sink }).run(contextOf({ runKey, stage: 'load', acceptLoss }));
    expect(await idsIn('found')).toEqual(['1 n/2']);
  });

  it('are there once in a table by key, without those that are no more', async () => {
    await sink.pool.query(
      'drop table if exists kept; create table kept (id int primary key, seen text, data_date date)',
    );
    const columns = { id: 'integer', seen: 'text', data_date: 'date' } as const;
    const into = table('kept', columns, { key: ['id'], dateColumn: 'data_date' });
    const runKey = nextRun();
    await load(runKey, await land(runKey, 'n/1', [0, 1, 2]), into);
    await load(runKey, await land(runKey, 'n/2', [1, 2, 3]), into);
    expect(await idsIn('kept')).toEqual(['1 n/2', '2 n/2', '3 n/2']);
  });
});

it('a pinned dataset of another schema is not to be read any more, and its records stay', async () => {
  const runKey = nextRun();
  const make = makers[0]![1];
  const before = await make(runKey, 'n/1');
  await sink.pool.query(`insert into mendflow.dataset_pin (dataset_id, kind, ref) values ($1, 'legal', 'case 7')`, [
    before.dataset,
  ]);
  await make(runKey, 'n/2');
  const { parts } = (await stateOf(before)) as { parts: number };
  expect(parts).toBeGreaterThan(0);
});
