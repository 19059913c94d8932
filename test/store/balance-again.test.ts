// What is promised here: a run adds up also where one of its stages was done again and gave other bytes.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { datasetSource, flow, json, landDataset, parse, table } from '../../src/flow/index.ts';
import { balance } from '../../src/store/balance.ts';
import { contextOf, testSink } from '../flow/memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
beforeAll(async () => {
  sink = await testSink();
  await sink.pool.query('create table copies (n bigint primary key)');
});
afterAll(() => sink.end());

it('counts no letter of bytes that were read again as others in the same generation', async () => {
  const runKey = 'test/2026-11-21/balance-again';
  const schema = 'n/1';
  const round = async (records: readonly unknown[]) => {
    const landed = await landDataset(
      contextOf({ runKey, stage: 'extract' }),
      { schema, asOf: new Date(), sink },
      async ({ put }) => {
        for (const record of records) await put(record);
        return {};
      },
    );
    // By key: by position the load would rather ask than replace rows by fewer.
    const into = table('copies', { n: 'bigint' }, { key: ['n'] });
    await flow({ from: datasetSource(landed, { schema }), steps: [parse(json)], into, sink }).run(
      contextOf({ runKey, stage: 'load' }),
    );
    await sink.pool.query('delete from mendflow.dataset_part where dataset_id = $1', [landed.dataset]);
    await sink.pool.query(`update mendflow.dataset set state = 'gone', gone_at = now() where id = $1`, [
      landed.dataset,
    ]);
    return await balance(sink.pool, runKey);
  };
  expect(await round([{ n: 1 }, { n: 'bad' }, { n: 3 }])).toMatchObject({ faults: [], quarantined: 1 });
  expect(await round([{ n: 1 }, { n: 'worse' }, { n: 4 }])).toMatchObject({
    balanced: true,
    faults: [],
    quarantined: 1,
    openLetters: 1,
  });
});
