// What lives here: the same workflow: the day on which the shop is down, `fetchOrders` waits for it and the run goes on.
// Invariant: one stage was taken by Mendflow; the rest of the workflow is as it was.
// Apart because it is compared with ../before, line by line.
import { proxyActivities } from '@temporalio/workflow';
import { adopt, flakyApi } from 'mendflow/workflow';
import type * as activities from '../activities.ts';

const { sumOrders } = proxyActivities<typeof activities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumAttempts: 3 },
});

export async function nightlyOrders(from: string, day: string): Promise<number> {
  const { fetchOrders } = adopt<Pick<typeof activities, 'fetchOrders'>>('nightly-orders', { fetchOrders: flakyApi });
  const orders = await fetchOrders({ from, day });
  return await sumOrders(orders);
}
