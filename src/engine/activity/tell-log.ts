// What lives here: what the log says of a failed attempt: one WARN for each, one ERROR for the last (documents 000 and 001).
// Invariant: a stage that goes on by itself is no ERROR, and says why it waits and until when; no text of a driver, which may quote a record.
// Apart from the guard because that decides and this only tells.
import { log } from '@temporalio/activity';
import { isSingle, nth, spent } from '../../model/attempts.ts';
import { inWords } from '../../model/duration.ts';
import type { StageCall, StageFailure } from '../../model/messages.ts';
import type { Grant, Next } from '../../model/retry-clock.ts';
import { verdict } from '../../model/verdict.ts';
import { placesOf } from '../../flow/places.ts';

export function tellLog(error: unknown, call: StageCall, attempt: number, ended: StageFailure, next: Next): void {
  const { failure, elapsedMs } = ended;
  const { attemptBase, attemptsMax } = call.grant;
  const fields = {
    run: call.runKey,
    stage: call.stage,
    attempt,
    attemptsMax: attemptBase + attemptsMax,
    code: failure.code,
    class: failure.class,
    rule: failure.rule,
    elapsedMs,
    ...(failure.upstream === undefined ? {} : { upstream: failure.upstream }),
  };
  const failed = `Attempt ${nth(attempt, call.grant)} failed: ${failure.text}`;
  if (next.next === 'retry') {
    log.warn(`${failed} Retrying in ${inWords(next.delayMs)}.`, { ...fields, nextDelayMs: next.delayMs });
    return;
  }
  if (failure.code === 'breaker_open') {
    log.info(`Stage ${call.stage} was not let through and waits: ${failure.text}`, fields);
    return;
  }
  const parked = parkedText(ended, call);
  if (parked !== undefined && !isFirstEnd(ended, call.grant)) {
    log.warn(`${failed} ${parked}`, { ...fields, why: ended.why });
    return;
  }
  const where = failure.code === 'code_bug' || failure.code === 'unknown' ? { at: placesOf(error) } : {};
  log.error(
    `Stage ${call.stage} gave up after ${spent(attempt, elapsedMs)}: ${failure.text}${parked === undefined ? '' : ` ${parked}`}`,
    { ...fields, why: ended.why, ...where },
  );
}

/** The budget of the stage is spent: it is told once as an error, and not again with each single try after it. */
const isFirstEnd = ({ why }: StageFailure, grant: Grant): boolean =>
  (why === 'attempts spent' || why === 'time spent') && !isSingle(grant);

/** Why a stage that goes on by itself waits, and until when; undefined where it asks or ends its run. */
function parkedText(ended: StageFailure, { policy, parks }: StageCall): string | undefined {
  if (parks === false) return undefined;
  const end = verdict(
    ended,
    { ...policy, attempt: '1 minute', heartbeat: '1 minute' },
    { heal: 'on', pastDeadline: false },
  );
  if (end.do === 'fail' || end.until === 'decision') return undefined;
  const { upstream = 'its upstream' } = ended.failure;
  if (end.until === 'upstream')
    return `The breaker of ${upstream} is open, so the stage is parked until it lets calls through.`;
  const then = `the stage is parked and goes on by itself in ${inWords(end.delayMs)}.`;
  if (ended.why === 'retry budget spent')
    return `The retries that all runs together may send to ${upstream} are spent, so ${then}`;
  if (ended.why === 'wait beyond the budget') return `It is to wait for longer than its budget lasts, so ${then}`;
  return `T${then.slice(1)}`;
}
