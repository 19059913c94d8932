// What lives here: how long to wait before the next attempt, and when the budget is spent.
// Invariant: pure; the guard, `explain` and simulations run exactly this. Never earlier than the other side asked.
// Apart because waiting is arithmetic, and arithmetic is tested by tables.
import { ms } from './duration.ts';
import { type Failure, type FailureClass, rowOf } from './failure.ts';
import type { Policy } from './spec.ts';

/** What the guard remembers of a stage from attempt to attempt; travels as heartbeat detail. */
export interface Tally {
  /** Failed attempts. Attempts that ended with their worker's shutdown are not failures. */
  readonly failures: number;
  /** Attempts whose end was seen; what Temporal counts beyond them died with a worker. */
  readonly ended: number;
  readonly firstFailureAt?: number;
  readonly lastCode?: string;
  readonly perClass: Readonly<Partial<Record<FailureClass, number>>>;
  /** Only of codes that have a limit of their own; a beat of an older worker has none. */
  readonly perCode?: Readonly<Record<string, number>>;
}

export const emptyTally: Tally = { failures: 0, ended: 0, perClass: {}, perCode: {} };

/** What the guard may still spend: the policy's budget, or what an operator granted. */
export interface Grant {
  readonly attemptsMax: number;
  readonly timeMs: number;
  /** Attempts used before this grant: texts count on from here. */
  readonly attemptBase: number;
  /** More of the same budget, by an operator: waits count on as well. A budget that begins anew begins with the shortest wait. */
  readonly extends?: true;
  /** After which attempt the budget began of which this is the rest. Absent: this is all of it. */
  readonly budgetBase?: number;
  /** When the first of these attempts failed, in ms: what is said of their time counts from there. */
  readonly firstFailureAt?: number;
}

/** Why nothing more is tried now. `not admitted`: a breaker refused the call, which costs no attempt. `tries spent`: of this very code. `others answered`: the budget is spent, and the upstream answered others meanwhile. `may have happened`: the stage is not idempotent, and nobody knows whether the call had its effect. */
export type Why =
  | 'never retried'
  | 'may have happened'
  | 'tries spent'
  | 'others answered'
  | 'attempts spent'
  | 'time spent'
  | 'wait beyond the budget'
  | 'not admitted'
  | 'retry budget spent';

export type Next =
  | { readonly next: 'retry'; readonly delayMs: number; readonly tally: Tally }
  | {
      readonly next: 'stop';
      readonly why: Why;
      readonly tally: Tally;
    };

/** Two tries are enough to see that nobody knows this failure. */
const UNKNOWN_ATTEMPTS_MAX = 2;
/** First wait of a failure that needs time: a restart, a quota, a queue backed up. */
const DELAYED_FIRST_MS = 30_000;
const DELAYED_MAX_MS = 15 * 60_000;
/** How long a stage stands back when all runs together have spent the retries of an upstream. */
export const STAND_BACK_MS = 30_000;

export const grantOf = (policy: Policy): Grant => ({
  attemptsMax: policy.budget.attemptsMax,
  timeMs: ms(policy.budget.time),
  attemptBase: 0,
});

/** Wait after failure number `n` (from 1). `random` in [0, 1). What the other side asked for is kept, spread only to later; "at once" and dates gone by ask for nothing. */
export function delayAfter(failed: Failure, n: number, policy: Policy, random: number): number {
  if (asksToWait(failed)) return Math.ceil(failed.nextDelayMs * (1 + random * 0.1));
  const [first, factor, max] =
    failed.class === 'delayed' || failed.class === 'throttled'
      ? [rowOf(failed.code).firstWaitMs ?? DELAYED_FIRST_MS, 2, DELAYED_MAX_MS]
      : [ms(policy.backoff.first), policy.backoff.factor, ms(policy.backoff.max)];
  // The cap is a promise, so it holds after the spreading too.
  return Math.round(Math.min(Math.min(first * factor ** (n - 1), max) * (0.5 + random), max));
}

/** Turns a retry into standing back: the retries that one worker may send to this upstream are spent, so the stage parks for half a minute or as long as was asked. */
export function standBack(
  next: Next,
  failed: Failure,
  random: number,
): { readonly next: Extract<Next, { next: 'stop' }>; readonly failure: Failure } {
  const nextDelayMs = Math.max(failed.nextDelayMs ?? 0, Math.round(STAND_BACK_MS * (0.5 + random)));
  return { next: { next: 'stop', why: 'retry budget spent', tally: next.tally }, failure: { ...failed, nextDelayMs } };
}

/** Attempts before this grant after which waits have grown already. */
const waitedBefore = ({ attemptBase, budgetBase = attemptBase, extends: goesOn }: Grant): number =>
  goesOn === true ? attemptBase : attemptBase - budgetBase;

const asksToWait = (failed: Failure): failed is Failure & { nextDelayMs: number } =>
  failed.nextDelayMs !== undefined && failed.nextDelayMs > 0;

/** What is not idempotent is repeated only where the failed call is known to have changed nothing. */
export const mayHaveHappened = ({ commit }: Pick<Failure, 'commit'>, policy: Pick<Policy, 'idempotent'>): boolean =>
  policy.idempotent === false && commit === 'unknown';

/** Counts one failure and says what follows. `now` in ms; `progressed` = records were committed since the last failure. */
export function afterFailure(
  before: Tally,
  failed: Failure,
  options: { policy: Policy; grant: Grant; now: number; random: number; progressed: boolean },
): Next {
  const { policy, grant, now, random, progressed } = options;
  if (failed.code === 'breaker_open')
    return { next: 'stop', why: 'not admitted', tally: { ...before, ended: before.ended + 1 } };
  const { triesMax } = rowOf(failed.code);
  const past = progressed ? { ...emptyTally, ended: before.ended } : before;
  const tally: Tally = {
    failures: past.failures + 1,
    ended: before.ended + 1,
    firstFailureAt: past.firstFailureAt ?? now,
    lastCode: failed.code,
    perClass: { ...past.perClass, [failed.class]: (past.perClass[failed.class] ?? 0) + 1 },
    perCode:
      triesMax === undefined
        ? { ...past.perCode }
        : { ...past.perCode, [failed.code]: (past.perCode?.[failed.code] ?? 0) + 1 },
  };
  if (failed.class === 'permanent' || failed.class === 'data') return { next: 'stop', why: 'never retried', tally };
  if (mayHaveHappened(failed, policy)) return { next: 'stop', why: 'may have happened', tally };
  if (failed.class === 'unknown' && tally.perClass.unknown! >= UNKNOWN_ATTEMPTS_MAX)
    return { next: 'stop', why: 'attempts spent', tally };
  if (triesMax !== undefined && tally.perCode![failed.code]! >= triesMax)
    return { next: 'stop', why: 'tries spent', tally };
  if (tally.failures >= grant.attemptsMax) return { next: 'stop', why: 'attempts spent', tally };
  const leftMs = grant.timeMs - (now - tally.firstFailureAt!);
  if (leftMs <= 0) return { next: 'stop', why: 'time spent', tally };
  // What passes soon counts its own: a restart begins with refusals, and they must not make the wait for its end long.
  const passesSoon = rowOf(failed.code).firstWaitMs !== undefined;
  const n = passesSoon ? tally.perClass[failed.class]! : waitedBefore(grant) + tally.failures;
  const delayMs = delayAfter(failed, n, policy, random);
  const asked = asksToWait(failed) || failed.class === 'delayed' || failed.class === 'throttled';
  if (delayMs > leftMs && asked) return { next: 'stop', why: 'wait beyond the budget', tally };
  return { next: 'retry', delayMs: Math.min(delayMs, leftMs), tally };
}

/** What no time heals, or has not healed in the tries it has: a person is asked, whatever the breaker says. */
export const asks = ({ class: of }: Failure, next: Next): boolean =>
  of === 'permanent' ||
  of === 'data' ||
  of === 'unknown' ||
  (next.next === 'stop' && (next.why === 'tries spent' || next.why === 'may have happened'));
