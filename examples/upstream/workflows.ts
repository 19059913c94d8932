// What lives here: in which order the orders of a day are fetched and loaded.
// Invariant: `fetch` names its upstream, so it waits in the upstream's own queue and parks while the breaker is open.
// Apart from the activities because this half runs in Temporal's sandbox.
import { flakyApi, local, pipeline, pipelines, stages, warehouse } from 'mendflow/workflow';
import type { ShopOrders } from './activities.ts';
import type { ShopUpstream } from './mendflow.config.ts';

export const shopOrders = pipeline({
  name: 'shop-orders',
  owner: 'nobody yet',
  every: 'day',
  logic: '1',
  deadline: '12 hours',
  stages: stages<ShopOrders, ShopUpstream>({
    prepare: local,
    fetch: { ...flakyApi, upstream: 'http:shop' },
    load: { ...warehouse, quarantineShareMax: 0.01 },
  }),
  async run({ prepare, fetch, load }) {
    await prepare();
    return await load(await fetch());
  },
});

export default pipelines(shopOrders);
