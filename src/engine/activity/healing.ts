// What lives here: the healing activities: open and close a run, record decisions, settle an abort.
// Invariant: opening and closing are stages with a guard and wait for the control store; what cannot be recorded stops no run.
// Apart because they run on a queue of their own, so that no upstream can keep them from running.
import type { Pool } from 'pg';
import { CodedError } from '../../model/failure.ts';
import { abortRun, closeRun } from '../../store/ledger.ts';
import { removePark, removeParks } from '../../store/parks.ts';
import { endOpenStages, openRun, writeDecisions, writeStageState } from '../../store/runs.ts';
import type { Closed, Healing } from '../workflow/heal.ts';
import { stage } from './context.ts';

export function openIn(pool: Pool): Healing['open'] {
  return async ({ force, scope, owner, workflowId, input }) => {
    const { pipeline, runKey, dataDate } = stage();
    return await openRun(pool, { runKey, pipeline, dataDate, scope, workflowId, owner, input }, force);
  };
}

export function closeIn(pool: Pool): Healing['close'] {
  return async (input) => {
    const { runKey, acceptLoss } = stage();
    const closed = await closeRun(pool, runKey, { ...input, acceptLoss });
    if (closed.notGreen.length > 0)
      throw new CodedError(
        'quarantine_limit',
        `${closed.notGreen.join(' ')} The run stays open; what was loaded stays, and each bad record is a letter. See what is wrong: mendflow letters list --run ${runKey}. ` +
          `If the format or the input was wrong: mendflow abort ${runKey} --reason "…", then start it with the right one. To close it with them all the same: mendflow accept-loss ${runKey} --reason "…"`,
      );
    if (closed.balanced) return closed;
    throw new CodedError(
      'run_unbalanced',
      `The ledger of the run does not add up, so it stays open: ${closed.faults.join(' ')} All committed rows stay as they are.`,
    );
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
