// What lives here: what the stages of shop-orders do.
// Invariant: an answer is sealed before anything reads it; neither stage retries by itself.
// Apart from the workflow because this half touches the world.
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
} from 'mendflow/flow';
import { type OpenUpstreams, sql, stage } from 'mendflow/worker';
import type { ShopUpstream } from './mendflow.config.ts';

/** What the records of the dataset are; a release that makes others gives it another number. */
const schema = 'shop-orders/1';
// The flow fills the data date and the generation.
const columns = { id: 'text', cents: 'bigint', data_date: 'date', generation: 'integer' } as const;
const orders = table('shop_orders', columns, { key: ['id'], dateColumn: 'data_date' });

export const shopOrdersActivities = (sink: Sink, upstreams: OpenUpstreams<ShopUpstream>) => {
  const shop = openHttp(upstreams.at('http:shop'), upstreams);
  return {
    prepare: sql(new URL('./shop-orders.sql', import.meta.url), sink.pool),

    /** The orders of the day. A cut, slow or failed answer is never taken for a short one. */
    async fetch(): Promise<DatasetRef> {
      const ctx = stage();
      return await landDataset(ctx, { sink, schema, asOf: new Date() }, async (landing) => {
        const answer = await shop.get('/orders', { ...ctx, query: { date: ctx.dataDate } });
        const found = answer.json() as readonly unknown[];
        for (const order of found) await landing.put(order);
        return { records: found.length };
      });
    },

    async load(fetched: DatasetRef) {
      return await flow({ from: datasetSource(fetched, { schema }), steps: [parse(json)], into: orders, sink }).run(
        stage(),
      );
    },
  };
};
export type ShopOrders = ReturnType<typeof shopOrdersActivities>;
