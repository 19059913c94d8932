// What lives here: the healing activities: open and close a run, park, record decisions, settle an abort.
// Invariant: parking goes on while the control store is away; opening and closing are stages with a guard and wait for it.
// Apart because they run on a queue of their own, so that no upstream can keep them from running.
import { activityInfo, log } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { Pool } from 'pg';
import { CodedError } from '../../model/failure.ts';
import { abortRun, closeRun } from '../../store/ledger.ts';
import {
  endOpenStages,
  openRun,
  removePark,
  removeParks,
  writeDecisions,
  writePark,
  writeStageState,
} from '../../store/runs.ts';
import type { Closed, Healing, ParkCall } from '../workflow/heal.ts';
import { stage } from './context.ts';

/** How often a park looks after its row, jittered by ±20 %. */
const RECHECK_MS = 10 * 60_000;
const STORE_AWAY_RECHECK_MS = 30_000;

export function openIn(pool: Pool): Healing['open'] {
  return async ({ force, scope, owner, workflowId, input }) => {
    const { pipeline, runKey, dataDate } = stage();
    return await openRun(pool, { runKey, pipeline, dataDate, scope, workflowId, owner, input }, force);
  };
}

export function closeIn(pool: Pool): Healing['close'] {
  return async () => {
    const closed = await closeRun(pool, stage().runKey);
    if (closed.balanced) return closed;
    throw new CodedError(
      'run_unbalanced',
      `The ledger of the run does not add up, so it stays open: ${closed.faults.join(' ')} All committed rows stay as they are.`,
    );
  };
}

export function parkIn(pool: Pool): Healing['park'] {
  return async (call: ParkCall) => {
    const info = activityInfo();
    const { park } = call;
    const now = Date.now();
    const wakeInMs = park.wakeAt === undefined ? Infinity : park.wakeAt - now;
    if (wakeInMs <= 0) return 'time';
    const away = await writePark(
      pool,
      call.runKey,
      info.workflowExecution!.workflowId,
      call.stage,
      park,
      call.health,
    ).then(
      () => false,
      (error: unknown) => {
        log.warn('The control store did not take the row of a park; the park goes on and writes it again.', {
          run: call.runKey,
          error: error instanceof Error ? error.name : 'unknown',
        });
        return true;
      },
    );
    const carryInMs = call.carryAfterMs === undefined ? Infinity : info.scheduledTimestampMs + call.carryAfterMs - now;
    if (carryInMs <= 0 && !away) return 'carry';
    const recheckMs = away ? STORE_AWAY_RECHECK_MS : RECHECK_MS * (0.8 + 0.4 * Math.random());
    throw ApplicationFailure.create({
      message:
        park.until === 'decision'
          ? 'Waits for a decision.'
          : `Waits until ${new Date(park.wakeAt ?? now).toISOString()}.`,
      type: 'still_parked',
      category: ApplicationFailureCategory.BENIGN,
      nextRetryDelay: Math.max(1, Math.ceil(Math.min(wakeInMs, Math.max(1, carryInMs), recheckMs))),
    });
  };
}

export function recordIn(pool: Pool): Healing['record'] {
  return async ({ runKey, notes }) => {
    await writeDecisions(
      pool,
      runKey,
      notes.map(({ outcome, ...note }) => ({ ...note, taken: outcome.taken, text: outcome.text })),
    );
    // A skipped stage has no further attempt that would tell how it ended.
    for (const { kind, stage: skipped, token, outcome } of notes) {
      if (kind !== 'skip' || !outcome.taken) continue;
      await writeStageState(pool, runKey, skipped, 'skipped');
      await removePark(pool, runKey, skipped, token);
    }
  };
}

export function settleIn(pool: Pool): Healing['settle'] {
  return async ({ runKey, state, actor, reason }): Promise<Closed> => {
    const settled = await abortRun(pool, runKey, { state, actor, reason });
    await endOpenStages(pool, runKey);
    await removeParks(pool, runKey);
    return settled;
  };
}
