// In which order the stages run, and what happens when one fails.
import { flakyApi, local, pipeline, stages, warehouse } from 'mendflow/workflow';
import type { ShopOrders } from '../activities/shop-orders.ts';
import type { Upstream } from '../upstreams.ts';

export const shopOrders = pipeline({
  name: 'shop-orders',
  owner: 'nobody yet',
  about: 'The records of a day from a service, one row each; bad records become dead letters.',
  every: 'day',
  logic: '1',
  deadline: '12 hours',
  stages: stages<ShopOrders, Upstream>({
    prepare: local,
    // Tried again as flakyApi says; while the breaker of its upstream is open, the run waits and holds nothing.
    fetch: { ...flakyApi, upstream: 'http:shop-orders' },
    // More than one record in a hundred bad, and more than ten: stop and ask, instead of filling the dead letters.
    load: { ...warehouse, quarantineShareMax: 0.01 },
  }),
  async run({ prepare, fetch, load }) {
    await prepare();
    return await load(await fetch());
  },
});
