// What lives here: how attempts, and the time that they took, are said.
// Invariant: number and time count from the same first failure; a total that differs from the one before is followed by why.
// Apart because the log of a worker, the commands and the page of the Web UI say the same of the same attempts.
import { inWords } from './duration.ts';
import type { Grant } from './retry-clock.ts';

/** `no attempt`, `1 attempt`, `3 attempts, 12 s after the first failure`: not the time that the stage worked, which is counted from its begin. */
export function spent(attempts: number, elapsedMs: number): string {
  if (attempts === 0) return 'no attempt';
  return `${attempts} attempt${attempts === 1 ? '' : 's'}${elapsedMs > 0 ? `, ${inWords(elapsedMs)} after the first failure` : ''}`;
}

/** After which attempt the budget at hand began. */
const begunAfter = ({ attemptBase, budgetBase = attemptBase }: Grant): number => budgetBase;
const totalOf = ({ attemptBase, attemptsMax }: Grant): number => attemptBase + attemptsMax;

/** Since its budget is spent, a stage is tried once each time that it wakes. */
export const isSingle = (grant: Grant): boolean => begunAfter(grant) > 0 && totalOf(grant) - begunAfter(grant) === 1;

/** `2 of 8`. */
export function nth(attempt: number, grant: Grant): string {
  const [begun, total] = [begunAfter(grant), totalOf(grant)];
  if (begun === 0) return `${attempt} of ${total}`;
  return isSingle(grant)
    ? `${attempt} (one at a time since the budget is spent)`
    : `${attempt} of ${total} (a new budget of ${total - begun} began after attempt ${begun})`;
}

/** Questions of which a loss is accepted by doing the work: fewer rows, or a small day, are taken as they come. */
const takenByWork: readonly string[] = ['rows_fewer', 'volume_low'];

/** Whether a call only carries out a decision to give up what is not read, so that it is no attempt of the stage. */
export const onlyGivesUp = (loss: { readonly of?: string; readonly skip?: boolean } | undefined): boolean =>
  loss !== undefined && (loss.skip === true || !takenByWork.includes(loss.of ?? ''));
