// The outside services that stages call, each declared once: its address, its limits, its credentials, its breaker.
import { secret, upstreams } from 'mendflow/worker';

// A credential is named, never written here: secret('SHOP_TOKEN') is read at each call.
export const declared = upstreams({
  'http:shop-orders': {
    address: process.env['SHOP_ORDERS_API'] ?? 'https://shop-orders.example.com/api',
    // Read anew at each call: from the environment, or from SHOP_ORDERS_TOKEN_FILE. Take the line out where none is needed.
    headers: { authorization: secret('SHOP_ORDERS_TOKEN', { before: 'Bearer ' }) },
    callsPerSecond: 5, // over all workers
    good: (answer) => Array.isArray(answer.json()), // a 200 that says something else is refused by name
    // Three failures in a row stop the calls of all workers. What one run's stage meets again counts once while others are answered.
    breaker: { consecutive: 3, cooldownMs: 120_000 },
  },
  // mendflow new adds upstreams above this line.
});
export type Upstream = keyof typeof declared;
