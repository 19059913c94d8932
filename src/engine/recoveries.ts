// What lives here: starting and poking the workflows that bring parked runs back: `breaker/<upstream>` and `watch`.
// Invariant: starting what runs already changes nothing and leaves no event; poking what is not there is no error.
// Apart because parks, workers and watch all do it, and must agree on names and queue.
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import { breakerId, queues, watchId } from '../model/ids.ts';

/** Where workflows of this installation are. */
export interface Where {
  readonly prefix: string;
}

/** Makes sure that the recovery of this upstream runs. */
export async function startRecovery(client: Client, { prefix }: Where, upstream: string): Promise<void> {
  await client.workflow.start('breaker', {
    workflowId: breakerId(prefix, upstream),
    taskQueue: queues(prefix).work,
    args: [{ upstream }],
    // What a killed worker had in hand is given to another after this; the herd waits for nobody longer.
    workflowTaskTimeout: '5 seconds',
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: `Brings back the runs that wait for ${upstream}`,
  });
}

/** Makes sure that watch runs. */
export async function startWatch(client: Client, { prefix }: Where): Promise<void> {
  await client.workflow.start('watch', {
    workflowId: watchId(prefix),
    taskQueue: queues(prefix).work,
    args: [{}],
    workflowIdConflictPolicy: 'USE_EXISTING',
    staticSummary: 'Repairs what was lost: recoveries, wake-ups, rows of runs that are gone',
  });
}

/** A breaker changed its state: recovery looks now instead of at its next tick. */
export async function pokeRecovery(client: Client, where: Where, upstream: string, state: string): Promise<void> {
  if (state !== 'closed') await startRecovery(client, where, upstream);
  try {
    await client.workflow.getHandle(breakerId(where.prefix, upstream)).signal('poke');
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
}
