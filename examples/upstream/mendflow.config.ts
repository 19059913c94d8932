// What lives here: the project of this example: its upstream, and how its stages are made.
// Invariant: an upstream is declared once; every stage, worker and breaker means the same one by its key.
// Apart because the worker and the command line read it.
import { project, secret, serve, upstreams } from 'mendflow/worker';
import { shopOrdersActivities } from './activities.ts';
import { shopOrders } from './workflows.ts';

const declared = upstreams({
  'http:shop': {
    address: process.env['SHOP_API'] ?? 'https://shop.example.com/api',
    headers: { authorization: secret('SHOP_TOKEN', { before: 'Bearer ' }) }, // read anew at each call: environment, or SHOP_TOKEN_FILE
    callsPerSecond: 5, // over all workers
    // Three failures in a row stop the calls of all workers. What one run's stage meets again counts once while others are answered.
    breaker: { consecutive: 3, cooldownMs: 120_000 },
  },
});
export type ShopUpstream = keyof typeof declared;

export default project({
  workflows: new URL('./workflows.ts', import.meta.url),
  upstreams: declared,
  serve: (sink, upstreams) => [serve(shopOrders, shopOrdersActivities(sink, upstreams))],
});
