// mendflow/model: the pure part, usable alone: `classify(error)`, the retry clock, verdicts, IDs.
// Invariant: no I/O, no clock, no Temporal; importable everywhere, the workflow sandbox included.
// Apart as the public face of model/; what is not exported here may change without notice.
export { classify, type ClassifyOptions, unsent } from './classify.ts';
export { type Duration, inWords, ms, parseDuration } from './duration.ts';
export * from './failure.ts';
export * from './ids.ts';
export * from './messages.ts';
export { presets } from './policy.ts';
export { type AskedWhen, type HeadersLike, waitAsked } from './retry-after.ts';
export { fullRetryBudget, type RetryBudget, spend, succeed } from './retry-budget.ts';
export { afterFailure, delayAfter, emptyTally, type Grant, grantOf, type Next, type Tally } from './retry-clock.ts';
export type { AnySpec, Field, Fields, Policy } from './spec.ts';
export {
  breakerDefaults,
  type BreakerSettings,
  type AnswerToJudge,
  type Good,
  type Secret,
  secret,
  type Upstream,
  type Upstreams,
  upstreams,
} from './upstream.ts';
export { type Ended, type Verdict, verdict } from './verdict.ts';
