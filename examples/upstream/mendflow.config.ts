// Which pipelines this project has, and how their stages are made. The worker and the command line read it.
import { project, serve } from 'mendflow/worker';
import { declared } from './src/upstreams.ts';
import { shopOrdersActivities } from './src/activities/shop-orders.ts';
import { shopOrders } from './src/workflows/shop-orders.ts';

export default project({
  workflows: new URL('./src/workflows/index.ts', import.meta.url),
  upstreams: declared,
  serve: (sink, upstreams) => [
    serve(shopOrders, shopOrdersActivities(sink, upstreams)),
    // mendflow new adds pipelines above this line.
  ],
});
