// What is promised here: the example that README quotes does what it says: a schema that makes letters, an upsert, a statement with parameters.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { shopPricesActivities } from '../../examples/prices/src/activities/prices.ts';
import { shopPrices } from '../../examples/prices/src/workflows/prices.ts';
import { withStage } from '../../src/engine/activity/context.ts';
import { runHere } from '../../src/engine/testing.ts';
import { contextOf, testSink } from '../flow/memory.ts';

let sink: Awaited<ReturnType<typeof testSink>>;
let folder: string;
beforeAll(async () => {
  sink = await testSink();
  folder = mkdtempSync(join(tmpdir(), 'mendflow-prices-'));
});
afterAll(async () => {
  await sink?.end();
  rmSync(folder, { recursive: true, force: true });
});

/** The body of the pipeline with its real stages. */
const run = (dataDate: string, records: readonly unknown[]) => {
  const path = join(folder, `${dataDate}.ndjson`);
  writeFileSync(path, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  const stages = shopPricesActivities(sink);
  const at = { ...contextOf({ runKey: `shop-prices/${dataDate}`, dataDate }), attempt: 1, idempotencyKey: 'x' };
  const inStage = <T>(stage: string, code: () => Promise<T>): Promise<T> => withStage({ ...at, stage }, code);
  return runHere(
    shopPrices,
    { dataDate, input: { path } },
    {
      prepare: () => inStage('prepare', stages.prepare),
      load: (input) => inStage('load', () => stages.load(input)),
      summarise: () => inStage('summarise', stages.summarise),
    },
  );
};

it('makes letters of what the schema refuses, keeps the newest revision, and summarises the day', async () => {
  const one = { shop: 's', item: 'a', cents: 100, revision: 2 };
  const first = await run('2026-01-05', [one, { ...one, item: 'b' }, { ...one, item: '', cents: 1.5 }]);
  expect(first.result).toMatchObject({ read: 3, loaded: 2, quarantined: 1 });
  const second = await run('2026-01-06', [
    { ...one, cents: 1, revision: 1 },
    { ...one, item: 'b', cents: 90, revision: 3 },
  ]);
  expect(second.result).toMatchObject({ read: 2, loaded: 1, duplicate: 1 });
  const { rows } = await sink.pool.query('select item, cents::int, data_date::text as day from prices order by item');
  expect(rows).toEqual([
    { item: 'a', cents: 100, day: '2026-01-05' },
    { item: 'b', cents: 90, day: '2026-01-06' },
  ]);
  const days = await sink.pool.query('select day::text, shop, items::int, run from price_days order by day');
  expect(days.rows).toEqual([
    { day: '2026-01-05', shop: 's', items: 2, run: 'shop-prices/2026-01-05' },
    { day: '2026-01-06', shop: 's', items: 1, run: 'shop-prices/2026-01-06' },
  ]);
});
