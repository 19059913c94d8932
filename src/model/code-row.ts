// What lives here: what a row of the table of failures says.
// Invariant: types and the short way to write a row; no code stands here.
// Apart because the table is long, and what its columns mean is read once.

/** How a failure behaves over time: what retrying can do about it. */
export type FailureClass = 'transient' | 'delayed' | 'throttled' | 'permanent' | 'data' | 'unknown';
/** Who has to change something before it can pass. */
export type Fault = 'upstream' | 'self' | 'config' | 'record' | 'code' | 'call';
/** Whether the effect of the failed call is known to have happened. */
export type Commit = 'no' | 'unknown' | 'rolled-back';

export interface Row {
  readonly class: FailureClass;
  readonly fault: Fault;
  readonly commit: Commit;
  /** One sentence for a person, without values of records. */
  readonly says: string;
  /** File below ops/runbooks that tells what to do. */
  readonly runbook: string;
  /** After so many failures of this very code time will not heal it, and the run asks. Default: as the class. */
  readonly triesMax?: number;
  /** First wait where it is known to pass soon, in ms; the next ones grow. Default: as the class. */
  readonly firstWaitMs?: number;
}

export const row = (cls: FailureClass, fault: Fault, commit: Commit, runbook: string, says: string): Row => ({
  class: cls,
  fault,
  commit,
  says,
  runbook,
});
