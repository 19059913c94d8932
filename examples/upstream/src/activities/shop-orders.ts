// What each stage does. Nothing here retries, waits or counts failures.
import {
  type DatasetRef,
  datasetSource,
  flow,
  json,
  landDataset,
  openHttp,
  parse,
  type Sink,
  table,
  transform,
} from 'mendflow/flow';
import { type OpenUpstreams, sql, stage } from 'mendflow/worker';
import type { Upstream } from '../upstreams.ts';

/** What the records of the dataset are; a release that makes others gives it another number. */
const schema = 'shop-orders/1';
// The flow fills the data date and the generation.
const columns = { id: 'text', cents: 'bigint', data_date: 'date', generation: 'integer' } as const;
const into = table('shop_orders', columns, { key: ['id'], dateColumn: 'data_date' });

interface Item {
  id: string;
  cents: number;
}

/** What throws here makes a dead letter of that one record; the others are loaded. */
function check(value: unknown): Item {
  const { id, cents } = value as Partial<Item>;
  if (typeof id !== 'string' || id === '') throw new TypeError('id is missing');
  if (!Number.isSafeInteger(cents)) throw new TypeError('cents is no whole number');
  return value as Item;
}

export const shopOrdersActivities = (sink: Sink, upstreams: OpenUpstreams<Upstream>) => {
  const service = openHttp(upstreams.at('http:shop-orders'), upstreams);
  return {
    /** Makes the table. Safe to run again, as every stage has to be. */
    prepare: sql(new URL('../../sql/shop-orders.sql', import.meta.url), sink.pool),

    /** The records of the day. A cut, slow or failed answer is never taken for a short one. */
    async fetch(): Promise<DatasetRef> {
      const ctx = stage();
      return await landDataset(ctx, { sink, schema, asOf: new Date() }, async (landing) => {
        const answer = await service.get('/shop-orders', { ...ctx, query: { date: ctx.dataDate } });
        const found = answer.json() as readonly unknown[];
        for (const one of found) await landing.put(one);
        return { records: found.length };
      });
    },

    async load(fetched: DatasetRef) {
      return await flow({
        from: datasetSource(fetched, { schema }),
        // Columns by name: a field that the service adds one day changes nothing here.
        steps: [parse(json), parse(check), transform(({ id, cents }: Item) => ({ id, cents }))],
        into,
        sink,
      }).run(stage());
    },
  };
};
export type ShopOrders = ReturnType<typeof shopOrdersActivities>;
