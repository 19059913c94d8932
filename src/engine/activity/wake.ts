// What lives here: telling parked runs to go on.
// Invariant: a few signals at a time; a run that is gone loses its row; a signal that fails leaves the row as it is, to be sent again.
// Apart because canaries, waves and repeats all do it.
import { Context, log } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import type { Pool } from 'pg';
import type { WakeCall } from '../../model/messages.ts';
import { toldName } from '../../model/told.ts';
import { dropPark, type ParkAt } from '../../store/parks.ts';

const AT_ONCE_MAX = 10;

/** Runs `work` over all, so many at a time, in their order. */
export async function eachOf<T>(all: readonly T[], atOnceMax: number, work: (one: T) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < all.length) await work(all[next++]!);
  };
  await Promise.all(Array.from({ length: Math.min(atOnceMax, all.length) }, lane));
}

/** Returns how many were reached. `pass`: they try as if an operator had said so. */
export async function wake(pool: Pool, client: Client, parks: readonly ParkAt[], pass = false): Promise<number> {
  let reached = 0;
  await eachOf(parks, AT_ONCE_MAX, async (park) => {
    // A wave of thousands takes longer than a worker may be silent.
    Context.current().heartbeat();
    const call: WakeCall = { token: park.token, ...(pass ? { pass } : {}) };
    try {
      await client.workflow.getHandle(park.workflowId).signal('wake', call);
      reached++;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) await dropPark(pool, park);
      else
        log.warn('A parked run was not told to go on; it is told again.', {
          run: park.workflowId,
          error: toldName(error),
        });
    }
  });
  return reached;
}
