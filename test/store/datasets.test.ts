import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { landDataset, readDataset } from '../../src/flow/index.ts';
import { collectDatasets, findDataset } from '../../src/store/datasets.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { contextOf, testSink } from '../flow/memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
});
afterAll(() => sink.end());

const schema = 'number/1';
const land = (runKey: string, generation = 1) =>
  landDataset(
    contextOf({ runKey, generation, stage: 'extract' }),
    { schema, asOf: new Date(), sink },
    async ({ put }) => {
      for (let n = 0; n < 10; n++) await put({ n });
      return { pages: 1 };
    },
  );
const stateOf = async (id: string) => (await findDataset(sink.pool, id))?.state;
const partsLeft = async (id: string): Promise<number> =>
  (
    await sink.pool.query<{ n: number }>('select count(*)::int as n from mendflow.dataset_part where dataset_id = $1', [
      id,
    ])
  ).rows[0]!.n;

describe('collecting datasets', () => {
  it('leaves those of an open, parked or asking run, however old', async () => {
    const { dataset } = await land('keep/open');
    for (const state of ['running', 'parked', 'asking']) {
      await sink.pool.query(
        `update mendflow.run set state = $1, closed_at = now() - interval '1 year' where key = 'keep/open'`,
        [state],
      );
      await sink.pool.query(`update mendflow.dataset set created_at = now() - interval '1 year' where id = $1`, [
        dataset,
      ]);
      expect(await collectDatasets(sink.pool, 100, 0)).toBe(0);
    }
    expect(await stateOf(dataset)).toBe('sealed');
  });

  it('removes those of a closed run after the declared time, and keeps their row as evidence', async () => {
    const ref = await land('keep/closed');
    await closeRun(sink.pool, 'keep/closed');
    expect(await collectDatasets(sink.pool, 100)).toBe(0);
    expect(await collectDatasets(sink.pool, 100, 0)).toBe(1);
    expect(await partsLeft(ref.dataset)).toBe(0);
    expect(await findDataset(sink.pool, ref.dataset)).toMatchObject({ state: 'gone', records: 10, sha256: ref.sha256 });
    await expect(readDataset(sink.pool, ref, { schema }).next()).rejects.toMatchObject({
      failure: { code: 'dataset_gone', redo: 'extract' },
    });
    expect(await collectDatasets(sink.pool, 100, 0)).toBe(0);
  });

  it('removes those of an earlier generation of an open run, and never the current ones', async () => {
    const old = await land('keep/generations');
    await sink.pool.query(`update mendflow.run set generation = 2 where key = 'keep/generations'`);
    const current = await land('keep/generations', 2);
    expect(await collectDatasets(sink.pool, 100, 0)).toBe(1);
    expect([await stateOf(old.dataset), await stateOf(current.dataset)]).toEqual(['gone', 'sealed']);
  });

  it('leaves what is pinned', async () => {
    const { dataset } = await land('keep/pinned');
    await closeRun(sink.pool, 'keep/pinned');
    await sink.pool.query(`insert into mendflow.dataset_pin (dataset_id, kind, ref) values ($1, 'legal', 'case 7')`, [
      dataset,
    ]);
    expect(await collectDatasets(sink.pool, 100, 0)).toBe(0);
    await sink.pool.query('delete from mendflow.dataset_pin where dataset_id = $1', [dataset]);
    expect(await collectDatasets(sink.pool, 100, 0)).toBe(1);
  });

  it('several at once remove each dataset once, and pass over what somebody holds', async () => {
    const all = [];
    for (let n = 0; n < 12; n++) {
      all.push(await land(`keep/many-${n}`));
      await closeRun(sink.pool, `keep/many-${n}`);
    }
    const holder = await sink.pool.connect();
    await holder.query('begin');
    await holder.query('select from mendflow.dataset where id = $1 for update', [all[0]!.dataset]);
    const counts = await Promise.all([1, 2, 3].map(() => collectDatasets(sink.pool, 100, 0)));
    expect(counts.reduce((sum, one) => sum + one, 0)).toBe(11);
    expect(await stateOf(all[0]!.dataset)).toBe('sealed');
    await holder.query('rollback');
    holder.release();
    expect(await collectDatasets(sink.pool, 1, 0)).toBe(1);
    expect(await stateOf(all[0]!.dataset)).toBe('gone');
  });
});
