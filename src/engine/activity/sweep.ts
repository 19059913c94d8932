// What lives here: one round of watch: recoveries that are missing, rows of runs that are gone.
// Invariant: bounded in rows; it only starts what is missing and removes what nobody will ever come back to.
// Apart from recovery because it looks at all upstreams and at Temporal's own knowledge of runs.
import { getClient, log } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import type { Pool } from 'pg';
import { listBreakers } from '../../store/breakers.ts';
import { collectDatasets } from '../../store/datasets.ts';
import { dropPark, forgetStage, type ParkAt, parksAfter, removePark, upstreamsWaitedFor } from '../../store/parks.ts';
import { runOf } from '../../model/ids.ts';
import { isGoneFrom, type AnySpec } from '../../model/spec.ts';
import type { Pace } from '../pace.ts';
import { startRecovery, type Where } from '../recoveries.ts';
import type { Watching } from '../workflow/watch.ts';
import { findStalled } from './stalled.ts';
import { eachOf } from './wake.ts';
import { toldName } from '../../model/told.ts';

/** Parked stages looked at in one round; all of them within some rounds. */
const ROWS_MAX = 100;
const AT_ONCE_MAX = 5;
const DATASETS_MAX = 20;

export function sweepIn(pool: Pool, where: Where, pace: Pace, specs: readonly AnySpec[]): Watching['sweep'] {
  return async ({ after }) => {
    const client = getClient();
    const missing = await upstreamsInNeed(pool);
    await eachOf(missing, AT_ONCE_MAX, (upstream) => startRecovery(client, where, upstream));
    const rows = await parksAfter(pool, after, ROWS_MAX);
    let removed = 0;
    const gone = rows.filter((row) => isOfNoStage(row, where, specs));
    await eachOf(gone, AT_ONCE_MAX, (row) => letGo(pool, client, where, row));
    await eachOf(rows, AT_ONCE_MAX, async (row) => {
      // A row that was looked after a moment ago has somebody who looks after it.
      if (row.sinceMs < pace.sweepMs || !(await isLeft(client, row, row.sinceMs > 2 * pace.recheckMs))) return;
      await dropPark(pool, row);
      removed++;
      log.info('A row of a parked stage was removed: its run has ended or waits no more.', {
        run: row.workflowId,
        stage: row.stage,
      });
    });
    const stalled = await findStalled(pool, client, where);
    await collect(pool);
    const last = rows.length < ROWS_MAX ? undefined : rows.at(-1);
    return {
      ...(last ? { after: { workflowId: last.workflowId, stage: last.stage } } : {}),
      nextInMs: pace.sweepMs,
      text: `Last round: ${missing.length === 0 ? 'all upstreams are well' : `in recovery: ${missing.join(', ')}`}; ${rows.length} parked stages looked at, ${removed} rows removed${stalled === 0 ? '' : `; ${stalled} runs stall, see mendflow doctor`}.`,
    };
  };
}

/** Parked in a stage that the code of today does not have: a question whose answer would change nothing. */
function isOfNoStage({ workflowId, stage }: ParkAt, { prefix }: Where, specs: readonly AnySpec[]): boolean {
  const spec = specs.find(({ name }) => name === runOf(prefix, workflowId).split('/')[0]);
  return spec !== undefined && isGoneFrom(spec, stage);
}

async function letGo(
  pool: Pool,
  client: Client,
  { prefix }: Where,
  { workflowId, stage, token }: ParkAt,
): Promise<void> {
  const runKey = runOf(prefix, workflowId);
  await client.workflow.getHandle(workflowId).signal('wake', { token });
  await forgetStage(pool, runKey, stage);
  await removePark(pool, { runKey, stage }, token);
  log.info('A run goes on without a stage that the code of today does not have.', { run: runKey, stage });
}

/** Datasets that no run needs any more; a few at a time, and never a reason for watch to fail. */
async function collect(pool: Pool): Promise<void> {
  try {
    const collected = await collectDatasets(pool, DATASETS_MAX);
    if (collected > 0) log.info(`Removed ${collected} datasets that no run needs any more.`, { collected });
  } catch (error) {
    log.warn('Old datasets were not removed; the next round tries again.', {
      error: toldName(error),
    });
  }
}

/** Those that admit nobody, and those that somebody waits for: both have a recovery, or get one now. */
async function upstreamsInNeed(pool: Pool): Promise<string[]> {
  const [breakers, waitedFor] = await Promise.all([listBreakers(pool), upstreamsWaitedFor(pool)]);
  const shut = breakers.filter(({ admit }) => !admit).map(({ key }) => key);
  return [...new Set([...shut, ...waitedFor])].toSorted();
}

const closed: readonly string[] = ['COMPLETED', 'FAILED', 'CANCELLED', 'TERMINATED', 'TIMED_OUT'];

/** Whether nobody will come back to the row: its run has ended, or nobody looked after the row for long and the run waits in no park, as after a reset. */
async function isLeft(client: Client, { workflowId }: ParkAt, isOld: boolean): Promise<boolean> {
  try {
    const { status, raw } = await client.workflow.getHandle(workflowId).describe();
    if (closed.includes(status.name)) return true;
    return isOld && !(raw.pendingActivities ?? []).some(({ activityType }) => activityType?.name === 'mendflow/park');
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return true;
    throw error;
  }
}
