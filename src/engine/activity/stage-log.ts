// What lives here: the guard's rows in the control store.
// Invariant: best effort and bounded in time; a control store that is away never delays a stage by more than two seconds and never fails it.
// Apart from the guard because this is all the guard knows of Postgres.
import { activityInfo, log } from '@temporalio/activity';
import type { Pool } from 'pg';
import { onlyGivesUp } from '../../model/attempts.ts';
import type { StageCall } from '../../model/messages.ts';
import { removePark } from '../../store/parks.ts';
import { type StageAt, writeAttempt, writeStageEnded, writeStageRefused, writeStageStarted } from '../../store/runs.ts';
import type { StageLog } from './guard.ts';

const PATIENCE_MS = 2_000;

export function stageLogIn(pool: Pool): StageLog {
  // Said again at the end of the attempt: the store may have been away at its beginning.
  const parkIsOver = (call: StageCall): Promise<unknown>[] =>
    call.woken === undefined ? [] : [removePark(pool, call, call.woken)];
  return {
    started: (call, attempt, worker) =>
      patiently(
        call,
        Promise.all([writeStageStarted(pool, placeOf(call), madeBy(call, attempt), worker), ...parkIsOver(call)]),
      ),
    refused: (call, attempt, failed) =>
      patiently(call, Promise.all([writeStageRefused(pool, placeOf(call), attempt, failed), ...parkIsOver(call)])),
    failed: (call, attempt, ended, nextDelayMs, worker) =>
      patiently(
        call,
        Promise.all([
          writeAttempt(pool, placeOf(call), {
            attempt,
            attemptsMax: call.grant.attemptBase + call.grant.attemptsMax,
            ended,
            nextDelayMs,
            worker,
          }),
          writeStageEnded(pool, placeOf(call), {
            state: nextDelayMs === undefined ? 'failed' : 'retrying',
            attempt,
            worker,
            failed: ended.failure,
          }),
          ...parkIsOver(call),
        ]),
      ),
    done: (call, attempt, worker) =>
      patiently(
        call,
        Promise.all([
          writeStageEnded(pool, placeOf(call), {
            state: call.acceptLoss?.skip ? 'skipped' : call.acceptLoss ? 'loss-accepted' : 'done',
            attempt: madeBy(call, attempt),
            worker,
          }),
          ...parkIsOver(call),
        ]),
      ),
  };
}

/** How many attempts there were with this call. One that fails counts as one, whatever it was to do. */
const madeBy = ({ acceptLoss }: StageCall, attempt: number): number => attempt - (onlyGivesUp(acceptLoss) ? 1 : 0);

const placeOf = (call: StageCall): StageAt => ({
  runKey: call.runKey,
  generation: call.generation,
  stage: call.stage,
  execution: call.execution,
  attemptAt: activityInfo().currentAttemptScheduledTimestampMs,
});

async function patiently(call: StageCall, write: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), PATIENCE_MS);
  });
  try {
    await Promise.race([write, patience]);
  } catch (error) {
    log.debug('The control store did not take a stage row.', {
      run: call.runKey,
      stage: call.stage,
      error: error instanceof Error ? error.name : 'unknown',
    });
  } finally {
    clearTimeout(timer);
    // A late answer is nobody's business any more, but its rejection must not end the process.
    write.catch(() => undefined);
  }
}
