// What lives here: finding runs whose workflow task fails at every try, and saying why in our words.
// Invariant: bounded; no text of an error is repeated, because it may quote a record: its kind and its frame are.
// Apart from the rest of watch because only Temporal knows of these runs: they cannot run, so they cannot tell.
import { log } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import proto, { type temporal } from '@temporalio/proto';
import type { Pool } from 'pg';
import { queues, runOf } from '../../model/ids.ts';
import { listStalled, someUnderWay, type Stalled, writeStalled } from '../../store/stalled.ts';
import type { Where } from '../recoveries.ts';

/** Described in one round of each kind. Where one stalls, it is mostly one; where all do, they have one cause. */
const LOOKED_AT_MAX = 50;
/** A task that was tried so often is no passing trouble of a worker. */
const ATTEMPTS_MIN = 3;
/** Events looked at from the end for the one that says why. */
const EVENTS_MAX = 20;

const { WorkflowTaskFailedCause: Cause, TimeoutType, WorkflowExecutionStatus } = proto.temporal.api.enums.v1;
const RUNNING = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING;

/**
 * Writes down which runs stall now: those that Temporal lists, those that stalled before, and some of the runs under way, for a server that lists late or not at all.
 * What cannot be looked at is no reason for watch to fail.
 */
export async function findStalled(pool: Pool, client: Client, where: Where): Promise<number> {
  try {
    const before = (await listStalled(pool, LOOKED_AT_MAX)).map(({ workflowId }) => workflowId);
    const under = await someUnderWay(pool, LOOKED_AT_MAX);
    const found: Stalled[] = [];
    for (const workflowId of new Set([...before, ...(await reported(client, where)), ...under])) {
      const one = await lookAt(client, where, workflowId).catch((error: unknown) => {
        if (error instanceof WorkflowNotFoundError) return undefined;
        throw error;
      });
      if (one) found.push(one);
    }
    const now = found.map(({ workflowId }) => workflowId);
    await writeStalled(
      pool,
      found,
      before.filter((workflowId) => !now.includes(workflowId)),
    );
    return found.length;
  } catch (error) {
    log.warn('Runs that stall were not looked for; the next round tries again.', {
      error: error instanceof Error ? error.name : 'unknown',
    });
    return 0;
  }
}

async function reported(client: Client, where: Where): Promise<string[]> {
  const query = `ExecutionStatus = 'Running' AND TaskQueue = '${queues(where.prefix).work}' AND TemporalReportedProblems IS NOT NULL`;
  const found: string[] = [];
  for await (const { workflowId } of client.workflow.list({ query, pageSize: LOOKED_AT_MAX })) {
    found.push(workflowId);
    if (found.length >= LOOKED_AT_MAX) break;
  }
  return found;
}

async function lookAt(client: Client, where: Where, workflowId: string): Promise<Stalled | undefined> {
  const { raw } = await client.workflow.getHandle(workflowId).describe();
  const task = raw.pendingWorkflowTask;
  const attempts = task?.attempt ?? 1;
  // Visibility lags: a run without a task that was tried again has gone on since.
  if (!task || attempts < ATTEMPTS_MIN || raw.workflowExecutionInfo?.status !== RUNNING) return undefined;
  const events = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId },
    maximumPageSize: EVENTS_MAX,
  });
  const failed = events.history?.events?.find(
    (event) => event.workflowTaskFailedEventAttributes || event.workflowTaskTimedOutEventAttributes,
  );
  const run = runOf(where.prefix, workflowId);
  const since = new Date(Number(task.originalScheduledTime?.seconds ?? 0) * 1_000);
  return { workflowId, run, attempts, since, ...reasonOf(run, failed) };
}

type Reason = Pick<Stalled, 'cause' | 'text' | 'mend'>;

function reasonOf(run: string, event: temporal.api.history.v1.IHistoryEvent | undefined): Reason {
  const end = `or end it: mendflow abort ${run} --reason "…"; started again, what is loaded stays loaded once.`;
  const failed = event?.workflowTaskFailedEventAttributes;
  if (event?.workflowTaskTimedOutEventAttributes?.timeoutType === TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE)
    return {
      cause: 'timed_out',
      text: 'No worker has answered a workflow task of this run in time: its body does not come to an end, or the worker died in it.',
      mend: `Look for a loop without end in the body of the pipeline, correct and deploy it, ${end}`,
    };
  const cause = failed?.cause;
  if (cause === Cause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR)
    return {
      cause: 'other_code',
      text: 'The code that is deployed calls other stages, or in another order, than this run has called.',
      mend: `Deploy the code that it began with until it has ended, ${end} The check of a folder names such runs before a deployment.`,
    };
  if (cause === Cause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE) {
    const { type, frame } = whereOf(failed?.failure);
    return {
      cause: 'code_bug',
      text: `The body of the pipeline threw ${type}${frame === undefined ? '' : ` ${frame}`}.`,
      mend: `Correct and deploy it, and the run goes on by itself, ${end}`,
    };
  }
  if (typeof cause === 'number' && tooLarge.includes(cause))
    return {
      cause: 'too_large',
      text: 'What the run hands to Temporal is too large for it.',
      mend: `Let stages hand on references, such as datasets, deploy that, ${end}`,
    };
  return {
    cause: 'failing',
    text: `A workflow task of this run fails again and again${typeof cause === 'number' ? ` (${nameOf(cause)})` : ''}.`,
    mend: `Look at the event in the Web UI, correct the code and deploy it, ${end}`,
  };
}

const tooLarge: readonly number[] = [
  Cause.WORKFLOW_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE,
  Cause.WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE,
  Cause.WORKFLOW_TASK_FAILED_CAUSE_REQUEST_TOO_LARGE,
];

const nameOf = (cause: number): string =>
  (Cause[cause] ?? String(cause)).replace('WORKFLOW_TASK_FAILED_CAUSE_', '').toLowerCase();

/** The kind of an error and where in the project it was thrown: neither holds a value. */
function whereOf(failure: temporal.api.failure.v1.IFailure | null | undefined): { type: string; frame?: string } {
  const trace = failure?.stackTrace ?? '';
  const written = failure?.applicationFailureInfo?.type ?? /^([A-Z][A-Za-z]*Error)\b/m.exec(trace)?.[1] ?? '';
  const type = /^[A-Za-z]{1,60}$/.test(written) ? written : 'an error';
  const frame = trace
    .split('\n')
    .map((line) => line.trim())
    .find((line) => /^at .*:\d+:\d+\)?$/.test(line) && !line.includes('node_modules'));
  return frame === undefined ? { type } : { type, frame: frame.slice(0, 300) };
}
