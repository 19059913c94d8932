// What lives here: what the stages of shop-prices do: records checked by a schema, rows by a key of their own, and a statement with parameters.
// Invariant: a price that comes again changes its row only where it is newer; the summary of a day is made anew as a whole.
// Apart from the workflow because this half touches the world.
import { flow, json, lines, parse, type Sink, table, validate } from 'mendflow/flow';
import { sql, stage } from 'mendflow/worker';
import { z } from 'zod';

/** What it does not accept becomes a dead letter with every violation; what it makes of the rest are the rows. */
const price = z.object({
  shop: z.string().min(1),
  item: z.string().min(1),
  cents: z.number().int().nonnegative(),
  revision: z.number().int(),
});

/** One row per shop and item, whichever run brings it. An older revision never overwrites a newer one. */
const prices = table(
  'prices',
  { shop: 'text', item: 'text', cents: 'bigint', revision: 'bigint', data_date: 'date', generation: 'integer' },
  { key: ['shop', 'item'], version: ['revision'], dateColumn: 'data_date' },
);

export const shopPricesActivities = (sink: Sink) => ({
  prepare: sql(new URL('../../sql/prices.sql', import.meta.url), sink.pool),

  async load({ path }: { path: string }) {
    return await flow({ from: lines(path), steps: [parse(json), validate(price)], into: prices, sink }).run(stage());
  },

  /** `:'data_date'` and `:'run_key'` in the file are filled in, quoted. */
  summarise: sql(new URL('../../sql/summary.sql', import.meta.url), sink.pool),
});
export type ShopPrices = ReturnType<typeof shopPricesActivities>;
