// What lives here: the guard's rows in the control store.
// Invariant: best effort and bounded in time; a control store that is away never delays a stage by more than two seconds and never fails it.
// Apart from the guard because this is all the guard knows of Postgres.
import { log } from '@temporalio/activity';
import type { Pool } from 'pg';
import type { StageCall } from '../../model/messages.ts';
import { removePark } from '../../store/parks.ts';
import { writeAttempt, writeStageEnded, writeStageRefused, writeStageStarted } from '../../store/runs.ts';
import type { StageLog } from './guard.ts';

const PATIENCE_MS = 2_000;

export function stageLogIn(pool: Pool): StageLog {
  return {
    started: (call, attempt, worker) => {
      const woken = call.woken === undefined ? [] : [removePark(pool, call.runKey, call.stage, call.woken)];
      return patiently(call, Promise.all([writeStageStarted(pool, call, attempt, worker), ...woken]));
    },
    refused: (call, attempt, failed) => patiently(call, writeStageRefused(pool, call, attempt, failed)),
    failed: (call, attempt, ended, nextTryAt, worker) =>
      patiently(
        call,
        Promise.all([
          writeAttempt(pool, call, {
            attempt,
            attemptsMax: call.grant.attemptBase + call.grant.attemptsMax,
            ended,
            nextTryAt,
            worker,
          }),
          writeStageEnded(pool, call, nextTryAt === undefined ? 'failed' : 'retrying', attempt, worker, ended.failure),
        ]),
      ),
    done: (call, attempt, worker) =>
      patiently(
        call,
        writeStageEnded(
          pool,
          call,
          call.acceptLoss?.skip ? 'skipped' : call.acceptLoss ? 'loss-accepted' : 'done',
          attempt,
          worker,
        ),
      ),
  };
}

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
