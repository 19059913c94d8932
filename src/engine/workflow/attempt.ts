// What lives here: scheduling a stage's activity until it is done, and reading how it ended.
// Invariant: schedule-to-close is the run's deadline only; the budget is the guard's. Every ending becomes an output or one StageFailure.
// Apart from stage.ts because this half is Temporal's vocabulary, that half is ours.
import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  patched,
  scheduleActivity,
  TimeoutFailure,
  workflowInfo,
} from '@temporalio/workflow';
import type { Segment } from '../../flow/context.ts';
import { ms } from '../../model/duration.ts';
import { type Code, type Failure, failure, isCode, nonRetryableErrorTypes } from '../../model/failure.ts';
import type { StageCall, StageFailure } from '../../model/messages.ts';
import { type Grant, mayHaveHappened, type Tally } from '../../model/retry-clock.ts';
import type { Policy } from '../../model/spec.ts';
import { historyIsLong, sharedBusy } from './admission.ts';
import { pastDeadline, type RunState } from './run-state.ts';
import { refreshDetails, summarise } from './details.ts';

export interface StageTarget {
  /** Activity type, `log-ingest/ingest`. */
  readonly type: string;
  /** Stage key, `ingest[a.log]`. */
  readonly key: string;
  readonly policy: Policy;
  readonly taskQueue?: string;
  /** What the Web UI says beside it; default the key and the data date. */
  readonly summary?: string;
}

export interface Scheduling {
  readonly grant: Grant;
  readonly acceptLoss?: StageCall['acceptLoss'];
  /** Token of the park that this scheduling ends. */
  readonly woken?: string;
  /** An operator said to try now. */
  readonly decided?: true;
}

export type Ending =
  | { readonly output: unknown; readonly attempts: number }
  | { readonly failed: StageFailure }
  | { readonly carry: true };

/** Attempts that died with their worker are not the guard's to count; this bounds them. */
const LOST_ATTEMPTS_MAX = 2;

export async function attemptStage(
  run: RunState,
  target: StageTarget,
  input: unknown,
  scheduling: Scheduling,
): Promise<Ending> {
  run.working.set(target.key, { policy: target.policy });
  run.waking.delete(target.key);
  summarise(run, { stage: target.key, state: 'running', attempts: scheduling.grant.attemptBase, seconds: 0 });
  const startedAt = Date.now();
  try {
    for (let at: string | undefined; ;) {
      const attempts = scheduling.grant.attemptBase + (run.trouble.get(target.key)?.attempt ?? 1);
      const result = await schedule(run, target, input, scheduling, at);
      if (!isSegment(result)) return { output: result, attempts };
      if (result.done) return { output: result.out, attempts };
      at = result.at;
      // A segment that came through has left its trouble behind; histories of before show it until the stage ends.
      if (run.trouble.has(target.key) && patched('segments-end-trouble')) {
        run.trouble.delete(target.key);
        refreshDetails(run);
      }
      if (run.ledger && historyIsLong()) {
        run.working.delete(target.key);
        return { carry: true };
      }
    }
  } catch (error) {
    const elapsedMs = Date.now() - (scheduling.grant.firstFailureAt ?? startedAt);
    return { failed: read(error, elapsedMs, target.policy, scheduling.grant) };
  }
}

/** Temporal's own default is 3; a higher number is later. */
const LATER = 4;
const PRIOR_MAX = 3;

/** How Temporal names attempts whose end nobody saw: it would make them again by itself. */
const lostAttempts = ['TemporalTimeout:Heartbeat', 'TemporalTimeout:StartToClose'];

function schedule(
  run: RunState,
  target: StageTarget,
  input: unknown,
  scheduling: Scheduling,
  at: string | undefined,
): Promise<unknown> {
  const { policy, key } = target;
  const { budget, backoff, slow, quarantineShareMax, idempotent } = policy;
  const call: StageCall = {
    pipeline: run.spec.name,
    runKey: run.key,
    stage: key,
    dataDate: run.args.dataDate,
    generation: run.generation,
    execution: workflowInfo().firstExecutionRunId,
    policy: {
      budget,
      backoff,
      slow,
      ...(quarantineShareMax === undefined ? {} : { quarantineShareMax }),
      ...(idempotent === undefined ? {} : { idempotent }),
    },
    grant: scheduling.grant,
    ...(at === undefined ? {} : { at }),
    ...(scheduling.acceptLoss ? { acceptLoss: scheduling.acceptLoss } : {}),
    ...(scheduling.woken === undefined ? {} : { woken: scheduling.woken }),
    ...(scheduling.decided ? { decided: true } : {}),
    ...(run.spec.heal === 'off' || pastDeadline(run) ? { parks: false } : {}),
  };
  return scheduleActivity<unknown>(target.type, [input ?? null, call], {
    ...(target.taskQueue === undefined ? {} : { taskQueue: target.taskQueue }),
    // The first of a run go before the many of another: one wide run does not make all others wait behind it.
    ...(sharedBusy(run) > PRIOR_MAX ? { priority: { priorityKey: LATER } } : {}),
    startToCloseTimeout: policy.attempt,
    heartbeatTimeout: policy.heartbeat,
    ...deadlineOf(run),
    retry: {
      initialInterval: backoff.first,
      backoffCoefficient: backoff.factor,
      maximumInterval: Math.max(ms(backoff.max), ms(backoff.first)),
      maximumAttempts: scheduling.grant.attemptsMax + LOST_ATTEMPTS_MAX,
      nonRetryableErrorTypes: [...nonRetryableErrorTypes, ...(idempotent === false ? lostAttempts : [])],
    },
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    summary: (target.summary ?? `${key} ${run.args.dataDate}${at === undefined ? '' : `, from ${at}`}`).slice(0, 200),
  });
}

/** After the deadline a person decides; what they ask for is not cut short by a time that has passed. */
const deadlineOf = (run: RunState): { scheduleToCloseTimeout?: number } =>
  run.deadlineAt === undefined || pastDeadline(run)
    ? {}
    : { scheduleToCloseTimeout: Math.max(1_000, run.deadlineAt - Date.now()) };

function isSegment(value: unknown): value is Segment<unknown> {
  if (value === null || typeof value !== 'object' || !('done' in value)) return false;
  return value.done === true ? 'out' in value : value.done === false && 'at' in value;
}

/** Judged by code and details, never by retryState: that says how Temporal stopped, not why. */
function read(error: unknown, elapsedMs: number, policy: Policy, grant: Grant): StageFailure {
  if (!(error instanceof ActivityFailure)) {
    // The converter refused the argument; thrown on, it would fail the workflow task for ever.
    if (error instanceof Error && unwritable.includes(error.name))
      return ended(failure('code_bug', UNWRITABLE), 1, 0, 'never retried');
    throw error;
  }
  const { cause } = error;
  if (cause instanceof CancelledFailure) throw error;
  if (cause instanceof ApplicationFailure) {
    const told = cause.details?.[0] as StageFailure | undefined;
    if (told && isCode(told.failure?.code)) return told;
    return ended(foreign(cause), 1, elapsedMs, cause.nonRetryable === true ? 'never retried' : 'attempts spent');
  }
  if (cause instanceof TimeoutFailure) {
    const tally = (cause.lastHeartbeatDetails as { tally?: Tally } | undefined)?.tally;
    const failed = timedOut(timeoutCodes[cause.timeoutType ?? ''] ?? 'attempt_timeout', tally?.lastCode);
    const why = mayHaveHappened(failed, policy) ? 'may have happened' : 'attempts spent';
    const charged = Math.max(1, tally?.failures ?? 0);
    const attempts = error.retryState === 'MAXIMUM_ATTEMPTS_REACHED' ? madeIn(grant, tally) : charged;
    return { ...ended(failed, Math.max(attempts, charged), elapsedMs, why), spent: charged };
  }
  return ended(failure('unknown'), 1, elapsedMs, 'attempts spent');
}

/** All that Temporal allows were made; of those whose end was seen, some were no attempts. */
const madeIn = ({ attemptsMax }: Grant, tally: Tally | undefined): number =>
  attemptsMax + LOST_ATTEMPTS_MAX - (tally === undefined ? 0 : tally.ended - tally.failures);

const unwritable: readonly string[] = ['TypeError', 'ValueError', 'PayloadConverterError'];
const UNWRITABLE =
  'The argument of the stage cannot be written as JSON, as a BigInt or an object that holds itself cannot. The stage was not called. Hand on plain values, deploy that, then retry.';

const timeoutCodes: Readonly<Record<string, Code>> = {
  HEARTBEAT: 'worker_lost',
  START_TO_CLOSE: 'attempt_timeout',
  SCHEDULE_TO_START: 'no_worker',
  SCHEDULE_TO_CLOSE: 'deadline',
};

/** What hangs at last has often failed before, and that is the cause people need; the time-out alone would hide it. */
const timedOut = (code: Code, before: string | undefined): Failure =>
  before === undefined ? failure(code) : failure(code, `${failure(code).text} Before that it failed with ${before}.`);

const ended = (failed: Failure, attempts: number, elapsedMs: number, why: StageFailure['why']): StageFailure => ({
  failure: failed,
  attempts,
  elapsedMs,
  why,
});

/** Failures that did not come through the guard: the SDK's own. */
function foreign(cause: ApplicationFailure): Failure {
  if (isCode(cause.type)) return failure(cause.type);
  if (/TMPRL1103|payload/i.test(cause.message)) return failure('payload_too_large');
  if (cause.type === 'NotFoundError')
    return failure('no_worker', 'No worker on this queue knows the activity; deploy a worker that has it.');
  return failure('unknown', `The activity failed outside the guard (${cause.type ?? 'no type'}).`);
}
