// What lives here: what time it is for Temporal, told inside an activity.
// Invariant: never this machine's wall clock, which may be wrong or jump: Temporal's own time of the attempt, and what has passed here since.
// Apart because every time that travels between workers, or is compared with one of a workflow, is read from it.
import { activityInfo } from '@temporalio/activity';

/**
 * In whole ms since 1970. Made where the attempt begins. Time in which the attempt lay waiting for a worker is not in it, so it may be behind, never ahead:
 * a wait that is measured by it is never too short.
 */
export function temporalClock(): () => number {
  const begunAt = performance.now();
  const { currentAttemptScheduledTimestampMs } = activityInfo();
  return () => Math.floor(currentAttemptScheduledTimestampMs + (performance.now() - begunAt));
}
