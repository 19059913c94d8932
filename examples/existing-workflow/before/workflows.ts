// What lives here: a plain Temporal workflow: the day on which the shop is down, it fails at night and somebody starts it again.
// Invariant: nothing of Mendflow.
// Apart because it is compared with ../after, line by line.
import { proxyActivities } from '@temporalio/workflow';
import type * as activities from '../activities.ts';

const { fetchOrders, sumOrders } = proxyActivities<typeof activities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumAttempts: 3 },
});

export async function nightlyOrders(from: string, day: string): Promise<number> {
  const orders = await fetchOrders({ from, day });
  return await sumOrders(orders);
}
