// What lives here: how many retries one worker may send to one upstream: a tenth of what succeeds, and one every ten seconds.
// Invariant: pure; over any time the retries are at most 10 + a tenth of the successes + one for each 10 s begun. What is refused parks; nothing fails of it.
// Apart because a storm of retries is more than the sum of runs that each keep their own budget.

export interface RetryBudget {
  /** Tenths of a retry, whole numbers, so that ten successes are exactly one. */
  readonly tenths: number;
  /** When the reserve gives its next retry, in ms. */
  readonly reserveAt: number;
}

const TENTHS_MAX = 100;
const RETRY_TENTHS = 10;
const SUCCESS_TENTHS = 1;
/** An hourly pipeline hardly succeeds often enough to earn a retry; this lets it have one all the same. */
const RESERVE_EVERY_MS = 10_000;

/** A worker starts with all of it: its first calls may meet a blip too. */
export const fullRetryBudget: RetryBudget = { tenths: TENTHS_MAX, reserveAt: 0 };

/** Asks for one retry at `now` (ms). */
export function spend(budget: RetryBudget, now: number): { readonly allowed: boolean; readonly state: RetryBudget } {
  if (budget.tenths >= RETRY_TENTHS)
    return { allowed: true, state: { ...budget, tenths: budget.tenths - RETRY_TENTHS } };
  // A clock that was set back would otherwise close the reserve for as long.
  const reserveAt = budget.reserveAt - now > RESERVE_EVERY_MS ? now + RESERVE_EVERY_MS : budget.reserveAt;
  return now >= reserveAt
    ? { allowed: true, state: { ...budget, reserveAt: now + RESERVE_EVERY_MS } }
    : { allowed: false, state: { ...budget, reserveAt } };
}

/** A call succeeded. */
export const succeed = (budget: RetryBudget): RetryBudget => ({
  ...budget,
  tenths: Math.min(TENTHS_MAX, budget.tenths + SUCCESS_TENTHS),
});
