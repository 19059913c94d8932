// What lives here: the life of a stage, and all branching on failure.
// Invariant: a stage ends with an output, a decision or a cancellation; it never ends because an upstream was down for a night.
// Apart because recovery that is decided in one place can be read, tested and trusted; see DESIGN's "life of a stage".
import { CancellationScope, condition, isCancellation, patched, sleep, workflowInfo } from '@temporalio/workflow';
import { onlyGivesUp, spent } from '../../model/attempts.ts';
import type { Failure } from '../../model/failure.ts';
import { parkToken } from '../../model/ids.ts';
import type { Park, StageFailure, StageSummary, Wake } from '../../model/messages.ts';
import { type Grant, grantOf } from '../../model/retry-clock.ts';
import type { Policy } from '../../model/spec.ts';
import { acceptsLoss, isMendedHere, verdict } from '../../model/verdict.ts';
import { admitOthers, leaveForCarry, placeFor } from './admission.ts';
import { attemptStage, type Ending, type Scheduling, type StageTarget } from './attempt.ts';
import { healthOf, refreshDetails, summarise } from './details.ts';
import { parkOn, writerOf } from './heal.ts';
import { forget, keep, pastDeadline, type RunState } from './run-state.ts';
import { PipelineFailed } from './outcome.ts';
import { ARGUMENT_BYTES_MAX, argumentTooLarge, bytesOf, JOURNAL_BYTES_MAX, outputTooLarge } from '../../model/size.ts';

const CARRY_AFTER_MS = 10 * 60_000;
/** Many short waits, such as those of a canary, make a history as long as one long flow does: then the next wait is carried at once. */
const CARRY_AFTER_EVENTS = 500;

export async function runStage(run: RunState, target: StageTarget, input: unknown): Promise<unknown> {
  if (Object.hasOwn(run.journal, target.key)) return run.journal[target.key];
  const bytes = bytesOf(input);
  const place = placeFor(run, target.policy, bytes);
  if (place) await place;
  run.active++;
  try {
    return await live(run, target, { input, bytes });
  } finally {
    run.active--;
    run.working.delete(target.key);
    run.trouble.delete(target.key);
    run.waking.delete(target.key);
    admitOthers(run);
  }
}

async function live(
  run: RunState,
  target: StageTarget,
  { input, bytes }: { readonly input: unknown; readonly bytes: number },
): Promise<unknown> {
  const { key, policy } = target;
  const startedAt = Date.now();
  let next: Scheduling = { grant: grantOf(policy) };
  for (;;) {
    const carried = run.carried.get(key);
    const park = carried?.park ?? run.parks[key];
    if (park) {
      const wake = await (carried?.wake ?? waitInPark(run, target, park));
      run.carried.delete(key);
      if (wake.by === 'time' && park.until === 'upstream') {
        askAtDeadline(run, target, park);
        continue;
      }
      const step = afterPark(park, wake, policy);
      if ('output' in step) return finish(run, key, step.output, 'skipped', park.attempts, startedAt);
      next = { ...step.scheduling, woken: park.token };
    }
    const end: Ending =
      bytes > ARGUMENT_BYTES_MAX
        ? { failed: refused(argumentTooLarge(key, bytes), 0) }
        : await attemptStage(run, target, input, next);
    const tooMuch = 'output' in end ? unkept(run, key, end.output) : undefined;
    if (tooMuch && 'output' in end) next = await settleFailure(run, target, refused(tooMuch, end.attempts), next);
    else if ('output' in end) {
      const attempts = end.attempts - (onlyGivesUp(next.acceptLoss) ? 1 : 0);
      if (next.acceptLoss?.skip) return finish(run, key, policy.onSkip?.output, 'skipped', attempts, startedAt);
      return finish(run, key, end.output, next.acceptLoss ? 'loss-accepted' : 'done', attempts, startedAt);
    } else if ('carry' in end) await leaveForCarry(run);
    else next = await settleFailure(run, target, end.failed, next);
  }
}

/** What nobody tries again by itself, because the same would come of it. */
const refused = (failed: Failure, attempts: number): StageFailure => ({
  failure: failed,
  attempts,
  elapsedMs: 0,
  why: 'never retried',
});

/** Why an output cannot be kept with the others, or nothing. A workflow that adopted stages keeps no journal. */
function unkept(run: RunState, key: string, output: unknown): Failure | undefined {
  const bytes = bytesOf(output) + bytesOf(key);
  if (!run.ledger || run.journalBytes + bytes <= JOURNAL_BYTES_MAX) return undefined;
  return outputTooLarge(key, bytes, { stages: Object.keys(run.journal).length, bytes: run.journalBytes });
}

/** Spent by the guard's word; what follows is an operator's extension, a park, or (with healing off) the end of the run. */
async function settleFailure(
  run: RunState,
  target: StageTarget,
  ended: StageFailure,
  used: Scheduling,
): Promise<Scheduling> {
  const { key, policy } = target;
  const granted = run.extensions[key];
  const attempts = used.grant.attemptBase + ended.attempts;
  if (granted && ended.why !== 'never retried' && ended.why !== 'may have happened' && ended.why !== 'not admitted') {
    delete run.extensions[key];
    const firstFailureAt = used.grant.firstFailureAt ?? Date.now() - ended.elapsedMs;
    await sleep(Math.max(1, ended.failure.nextDelayMs ?? 1_000), { summary: `${key}: wait before the added attempts` });
    return {
      grant: {
        attemptsMax: Math.max(1, granted.attempts),
        timeMs: used.grant.timeMs + granted.timeMs,
        attemptBase: attempts,
        firstFailureAt,
        extends: true,
      },
    };
  }
  run.working.delete(key);
  run.trouble.delete(key);
  admitOthers(run);
  await redoWhatIsLost(run, ended);
  const end = verdict(ended, policy, { heal: run.spec.heal ?? 'on', pastDeadline: pastDeadline(run) });
  if (end.do === 'fail') {
    summarise(run, {
      stage: key,
      state: 'failed',
      attempts,
      seconds: ended.elapsedMs / 1_000,
      code: ended.failure.code,
    });
    throw new PipelineFailed(key, ended.failure);
  }
  const { until, wakeAt } = waitOf(run, end, ended.failure);
  putPark(run, key, {
    until,
    ...(wakeAt === undefined ? {} : { wakeAt }),
    ...(until === 'upstream' ? { upstream: ended.failure.upstream! } : {}),
    failure: ended.failure,
    attempts,
    elapsedMs: ended.elapsedMs,
    why: ended.why,
    ...(ended.why === 'retry budget spent' ? { grant: chargedOf(used.grant, ended) } : {}),
    acceptsLoss: mayLose(key, until, ended, policy),
  });
  return used;
}

/** What is lost again and again is somebody's to look at. */
const REDO_MAX = 2;

/**
 * The output of a finished stage is gone, so that stage is done again: without its entry in the journal the next execution's body comes to it anew,
 * while all other finished stages answer as before. Returns where that cannot help; the failure then takes its way.
 */
async function redoWhatIsLost(run: RunState, { failure: { code, redo } }: StageFailure): Promise<void> {
  if (code !== 'dataset_gone' || redo === undefined || !run.ledger || !Object.hasOwn(run.journal, redo)) return;
  // What must not come twice is not done again to get its answer back.
  if (run.spec.stages[redo.split('[')[0]!]?.idempotent === false) return;
  const times = (run.redone[redo] ?? 0) + 1;
  if (times > REDO_MAX) return;
  run.redone[redo] = times;
  forget(run, redo);
  await leaveForCarry(run);
}

/** A refused call that names no breaker, or a run without a ledger, waits for a time instead: there is nobody who would wake it. */
const REFUSED_MS = 60_000;

/** What ends the wait, and when at the latest. Parks never outlive the deadline. */
function waitOf(
  run: RunState,
  end: Exclude<ReturnType<typeof verdict>, { do: 'fail' }>,
  failed: Failure,
): { until: Park['until']; wakeAt: number | undefined } {
  if (end.until === 'decision') return { until: 'decision', wakeAt: undefined };
  if (end.until === 'upstream' && run.ledger && failed.upstream !== undefined)
    return { until: 'upstream', wakeAt: run.deadlineAt };
  const wakeAt = Date.now() + (end.until === 'time' ? end.delayMs : Math.max(1, failed.nextDelayMs ?? REFUSED_MS));
  return { until: 'time', wakeAt: run.deadlineAt === undefined ? wakeAt : Math.min(wakeAt, run.deadlineAt) };
}

/** To give up good records for a mistake that can be mended is no answer to it. Histories of before took that one, too. */
const mayLose = (...about: Parameters<typeof acceptsLoss>): boolean =>
  acceptsLoss(...about) && !(isMendedHere(about[2].failure) && patched('loss-is-of-data'));

/**
 * A reset gives an execution another run ID, under which a park that was written before would have another token than its row. What was written
 * before the reset keeps its time and so its token, and what happens anew gets another.
 */
function executionNow(): string {
  const { runId, originalExecutionRunId } = workflowInfo();
  return patched('park-token-outlives-reset') ? `${originalExecutionRunId} ${Date.now()}` : runId;
}

function putPark(run: RunState, key: string, park: Omit<Park, 'token' | 'since'>): void {
  run.parks[key] = { token: parkToken(key, ++run.parkNo, executionNow()), since: Date.now(), ...park };
  summarise(run, {
    stage: key,
    state: park.until === 'decision' ? 'asking' : 'parked',
    attempts: park.attempts,
    seconds: park.elapsedMs / 1_000,
    code: park.failure.code,
  });
}

/** The deadline came before the upstream did: now a person says whether to go on waiting. */
function askAtDeadline(run: RunState, { key, policy }: StageTarget, park: Park): void {
  const { upstream: _waitedFor, wakeAt, token: _token, since: _since, ...rest } = park;
  const text = `${park.failure.text} The deadline of the run came at ${new Date(wakeAt ?? 0).toISOString()} while it waited for ${park.upstream}.`;
  putPark(run, key, {
    ...rest,
    until: 'decision',
    elapsedMs: park.attempts > 0 ? Date.now() - park.since + park.elapsedMs : 0,
    failure: { ...park.failure, text },
    acceptsLoss: mayLose(key, 'decision', park, policy),
  });
  run.waking.delete(key);
}

/** Holds nothing but one activity that retries itself; a decision cancels it, time ends it. */
export async function waitInPark(
  run: RunState,
  target: Pick<StageTarget, 'key' | 'policy'>,
  park: Park,
): Promise<Wake> {
  const { key, policy } = target;
  const scope = new CancellationScope();
  let wake: Wake | undefined;
  const end = (by: Wake): void => {
    wake = by;
    run.waiting.delete(key);
    delete run.parks[key];
    run.waking.add(key);
    scope.cancel();
  };
  run.waiting.set(key, {
    park,
    policy,
    take: (decision) => end({ by: 'decision', decision }),
    wake: (pass) => end({ by: 'upstream', pass }),
  });
  refreshDetails(run);
  try {
    // A park that was carried into this execution does not ask to be carried again.
    let quiet = run.args.carry?.parks[key]?.token === park.token;
    for (;;) {
      const woke = await scope.run(() => waitOnce(run, key, park, quiet));
      if (woke !== 'carry') {
        wake ??= woke === 'time' ? { by: 'time' } : { by: 'upstream', pass: false };
        break;
      }
      run.wantsCarry = true;
      quiet = true;
    }
  } catch (error) {
    if (!wake || !isCancellation(error)) throw error;
  } finally {
    run.waiting.delete(key);
  }
  delete run.parks[key];
  run.waking.add(key);
  refreshDetails(run);
  return wake;
}

async function waitOnce(
  run: RunState,
  key: string,
  park: Park,
  quiet: boolean,
): Promise<'time' | 'upstream' | 'carry'> {
  const tried = `${park.failure.code}, ${spent(park.attempts, park.elapsedMs)}`;
  const summary =
    park.until === 'decision'
      ? `${key} asks for a decision: ${tried}`
      : park.until === 'upstream'
        ? `${key} waits for ${park.upstream}: ${tried}`
        : `${key} waits until ${new Date(park.wakeAt ?? 0).toISOString()}: ${tried}`;
  if (!run.ledger) {
    if (park.wakeAt === undefined) await condition(() => false);
    else await sleep(Math.max(1, park.wakeAt - Date.now()), { summary });
    return 'time';
  }
  // Who waits for a person most often waits for other code, so that code is to find the wait and not what led to it.
  const isSoon = park.until === 'decision' || workflowInfo().historyLength >= CARRY_AFTER_EVENTS;
  const carryAfterMs = isSoon ? 0 : (run.args.carryAfterMs ?? CARRY_AFTER_MS);
  return parkOn(
    { ...writerOf(run), stage: key, park, health: healthOf(run), ...(quiet ? {} : { carryAfterMs }) },
    summary,
  );
}

/** The grant as if those attempts were before it that it is not charged with. */
function chargedOf(grant: Grant, { attempts, spent: charged = attempts }: StageFailure): Grant {
  const free = attempts - charged;
  const { attemptBase, budgetBase } = grant;
  if (free === 0) return grant;
  return {
    ...grant,
    attemptBase: attemptBase + free,
    ...(budgetBase === undefined ? {} : { budgetBase: budgetBase + free }),
  };
}

/** Who only stood back for others has its attempts left, of the same budget. */
function leftOf({ why, attempts, grant }: Park, whole: Grant): Grant | undefined {
  if (why !== 'retry budget spent') return undefined;
  const { attemptBase, attemptsMax, budgetBase = attemptBase } = grant ?? { ...whole, attemptBase: 0 };
  return { ...whole, attemptsMax: Math.max(1, attemptBase + attemptsMax - attempts), budgetBase };
}

function afterPark(
  park: Park,
  wake: Wake,
  policy: Policy,
): { readonly output: unknown } | { readonly scheduling: Scheduling } {
  // Attempts are counted on, so their time is too.
  const before: Pick<Grant, 'attemptBase' | 'firstFailureAt'> = {
    attemptBase: park.attempts,
    ...(park.attempts > 0 ? { firstFailureAt: park.since - park.elapsedMs } : {}),
  };
  const whole: Grant = { ...grantOf(policy), ...before };
  // The slow phase: one attempt each time; the deadline ends it, not a count.
  if (wake.by === 'time') return { scheduling: { grant: leftOf(park, whole) ?? { ...whole, attemptsMax: 1 } } };
  // The outage is over: what was spent before it says nothing about the time after it.
  if (wake.by === 'upstream') return { scheduling: { grant: whole, ...(wake.pass ? { decided: true } : {}) } };
  const { decision } = wake;
  switch (decision.kind) {
    case 'skip':
      // What a stage has planned to move has to be accounted for, or the run would never balance: give up the rest, then go on without it.
      // What must not come twice is not called for that: it may be the very reason to skip it.
      return policy.quarantineShareMax === undefined || policy.idempotent === false
        ? { output: policy.onSkip?.output }
        : {
            scheduling: {
              grant: whole,
              acceptLoss: {
                actor: decision.actor ?? 'unknown',
                reason: `skipped: ${decision.reason ?? 'no reason given'}`,
                skip: true,
              },
            },
          };
    case 'accept-loss':
      return {
        scheduling: {
          grant: whole,
          acceptLoss: {
            actor: decision.actor ?? 'unknown',
            reason: decision.reason ?? 'no reason given',
            of: park.failure.code,
          },
        },
      };
    case 'extend-budget': {
      const grant: Grant = {
        attemptsMax: Math.max(1, decision.attempts ?? 1),
        timeMs: Math.max(decision.timeMs ?? 0, whole.timeMs),
        ...before,
        extends: true,
      };
      return { scheduling: { grant, decided: true } };
    }
    case 'retry':
    case 'abort':
      return { scheduling: { grant: whole, decided: true } };
  }
}

function finish(
  run: RunState,
  key: string,
  output: unknown,
  state: StageSummary['state'],
  attempts: number,
  startedAt: number,
): unknown {
  run.working.delete(key);
  run.trouble.delete(key);
  run.waking.delete(key);
  delete run.extensions[key];
  keep(run, key, output ?? null);
  // Histories of before show such a run as healthy until its end.
  if (state === 'loss-accepted' && patched('losses-degrade')) run.lossAccepted = true;
  summarise(run, { stage: key, state, attempts, seconds: (Date.now() - startedAt) / 1_000 });
  return output;
}
