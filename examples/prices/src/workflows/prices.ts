// What lives here: in which order the prices of a day are loaded and summarised.
// Invariant: none of its own; the order of three stages.
// Apart from the activities because this half runs in Temporal's sandbox.
import { local, pipeline, stages, text, warehouse } from 'mendflow/workflow';
import type { ShopPrices } from '../activities/prices.ts';

export const shopPrices = pipeline({
  name: 'shop-prices',
  owner: 'nobody yet',
  every: 'day',
  logic: '1',
  input: { path: text('NDJSON file with prices') },
  stages: stages<ShopPrices>({ prepare: local, load: warehouse, summarise: local }),
  async run({ prepare, load, summarise }, { input: { path } }) {
    await prepare();
    const bins = await load({ path });
    await summarise();
    return bins;
  },
});
