// What lives here: the healing activities: open and close a run, record decisions, settle an abort.
// Invariant: opening and closing are stages with a guard and wait for the control store; what cannot be recorded stops no run;
// what opens or ends a run asks Temporal, under the lock of the run, whether this attempt is still wanted.
// Apart because they run on a queue of their own, so that no upstream can keep them from running.
import type { Pool } from 'pg';
import { CodedError } from '../../model/failure.ts';
import { shellWord, startCommand } from '../../model/shell.ts';
import { abortRun, closeRun } from '../../store/ledger.ts';
import { addLateNote } from '../../store/notes.ts';
import { findRun } from '../../store/reads.ts';
import { removePark } from '../../store/parks.ts';
import { openRun, writeDecisions, writeStageState } from '../../store/runs.ts';
import type { Closed, Healing } from '../workflow/heal.ts';
import { stage } from './context.ts';
import { isWanted } from './wanted.ts';

export function openIn(pool: Pool): Healing['open'] {
  return async ({ force, scope, owner, workflowId, input }) => {
    const { pipeline, runKey, dataDate, execution } = stage();
    const run = { runKey, pipeline, dataDate, scope, workflowId, owner, input, execution };
    return await openRun(pool, run, { force, isWanted });
  };
}

export function closeIn(pool: Pool): Healing['close'] {
  return async (input) => {
    const { runKey, acceptLoss, generation, execution } = stage();
    const closing = { ...input, acceptLoss };
    const closed = await closeRun(
      pool,
      runKey,
      execution === undefined ? closing : { ...closing, by: { generation, execution, isWanted } },
    );
    const run = shellWord(runKey);
    if (closed.notGreen.length > 0)
      throw new CodedError(
        'quarantine_limit',
        `${closed.notGreen.join(' ')} The run stays open; what was loaded stays, and each bad record is a letter. See what is wrong: \`mendflow letters list --run ${run}\`. ` +
          `If the format or the input was wrong: \`mendflow abort ${run} --reason "…"\`, then start it with the right one. To close it with them all the same: \`mendflow accept-loss ${run} --reason "…"\``,
      );
    if (closed.balanced) return closed;
    throw new CodedError(
      'run_unbalanced',
      `The ledger of the run does not add up, so it stays open: ${closed.faults.join(' ')} All committed rows stay as they are.`,
    );
  };
}

export function recordIn(pool: Pool): Healing['record'] {
  return async ({ runKey, notes, generation, execution }) => {
    await writeDecisions(
      pool,
      runKey,
      notes.map(({ outcome, ...note }) => ({ ...note, taken: outcome.taken, text: outcome.text })),
    );
    // A skipped stage has no further attempt that would tell how it ended.
    for (const { kind, stage: skipped, token, outcome, at, actor, reason } of notes) {
      if (kind !== 'skip' || !outcome.taken) continue;
      if (generation !== undefined) {
        const stage = { runKey, generation, execution, stage: skipped };
        await writeStageState(pool, { ...stage, attemptAt: at }, 'skipped');
        const row = await findRun(pool, runKey);
        await addLateNote(
          pool,
          stage,
          `${actor} skipped ${skipped}, so what it would have loaded is not there ("${reason}"). To load it, when it can be read: ${row ? startCommand(row, '--force') : `mendflow show ${shellWord(runKey)}`}`,
        );
      }
      await removePark(pool, { runKey, generation, execution, stage: skipped }, token);
    }
  };
}

export function settleIn(pool: Pool): Healing['settle'] {
  return ({ runKey, state, actor, reason, generation, execution }): Promise<Closed> =>
    abortRun(
      pool,
      runKey,
      { state, actor, reason },
      execution === undefined ? undefined : { generation, execution, isWanted },
    );
}
