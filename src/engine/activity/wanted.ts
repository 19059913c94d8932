// What lives here: whether Temporal still waits for this very attempt, and since when it runs, by Temporal's own time.
// Invariant: the answer is the server's, about one execution, one activity and one attempt; it is asked under the lock of what depends on it.
// Apart because an attempt that was stopped for long cannot know by itself that it was replaced.
import { activityInfo, getClient } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/common';
import { CodedError } from '../../model/failure.ts';

/** Below the time after which Postgres ends an idle transaction, which holds the lock meanwhile. */
const PATIENCE_MS = 5_000;

interface Pending {
  readonly startedAt: number | undefined;
}

/** Fails with `fenced`, to be tried again, if the server does not say. */
export const isWanted = async (): Promise<boolean> => (await pending()) !== undefined;

/** When the server handed this attempt out, in ms since 1970; undefined if it did not say or does not know the attempt. */
export const startedAt = async (): Promise<number | undefined> => (await pending().catch(() => undefined))?.startedAt;

async function pending(): Promise<Pending | undefined> {
  const { workflowExecution, activityId, attempt } = activityInfo();
  const { workflowId, runId } = workflowExecution!;
  const client = getClient();
  try {
    const { status, raw } = await client.withDeadline(Date.now() + PATIENCE_MS, () =>
      client.workflow.getHandle(workflowId, runId).describe(),
    );
    if (status.name !== 'RUNNING') return undefined;
    const found = (raw.pendingActivities ?? []).find((one) => one.activityId === activityId && one.attempt === attempt);
    return found && { startedAt: msOf(found.lastStartedTime) };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw new CodedError(
      'fenced',
      'Temporal did not say whether it still waits for this attempt, so it changed nothing. It is tried again.',
      { cause: error },
    );
  }
}

const msOf = (time: { seconds?: unknown; nanos?: number | null } | null | undefined): number | undefined =>
  time ? Number(time.seconds ?? 0) * 1_000 + (time.nanos ?? 0) / 1e6 : undefined;
