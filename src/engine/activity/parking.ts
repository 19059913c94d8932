// What lives here: the wait of a parked stage: one activity that looks, and comes back later.
// Invariant: a park is never lost and never early: it goes on while the control store is away, and writes its row again at each look;
// a look that comes too late writes nothing.
// Apart from the other healing activities because this one runs for days and decides when a wait is over.
import { activityInfo, getClient, log } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { Pool } from 'pg';
import type { Park } from '../../model/messages.ts';
import { toldName } from '../../model/told.ts';
import { type Admission, wouldAdmit } from '../../store/breakers.ts';
import { inTransaction, withClient } from '../../store/db.ts';
import { lockKey } from '../../store/lease.ts';
import { isReleased, writePark } from '../../store/parks.ts';
import type { Pace } from '../pace.ts';
import { startRecovery, type Where } from '../recoveries.ts';
import type { Healing, ParkCall } from '../workflow/heal.ts';
import { temporalClock } from './clock.ts';
import { isWanted, startedAt } from './wanted.ts';

/** `open to all`: nobody let this run go, but the row admits everybody. */
/** `too late`: this park is over, or the run was opened anew. Whoever looks here was stopped meanwhile, and Temporal hears it no more. */
type Look = 'released' | 'open to all' | 'wait' | 'too late' | 'store away';

/** Who was refused a moment ago is refused again, so it waits for so long at least. */
const REFUSED_MS = 1_000;

export function parkIn(pool: Pool, where: Where, pace: Pace): Healing['park'] {
  return async (call: ParkCall) => {
    const info = activityInfo();
    const { park } = call;
    const now = await timeFor(park, temporalClock());
    const wakeInMs = park.wakeAt === undefined ? Infinity : park.wakeAt - now;
    if (wakeInMs <= 0) return 'time';
    const look = await lookAfter(pool, call).catch((error: unknown): Look => {
      log.warn('The control store did not take the row of a park; the park goes on and writes it again.', {
        run: call.runKey,
        error: toldName(error),
      });
      return 'store away';
    });
    const restMs = look === 'open to all' ? restOf(park, pace, now) : 0;
    if (look === 'released' || (look === 'open to all' && restMs <= 0)) return 'upstream';
    // While the row admits everybody nothing is to be recovered; the worker that refused is to learn of it.
    if (look !== 'open to all' && look !== 'too late' && park.until === 'upstream' && park.upstream !== undefined)
      await makeSure(where, park.upstream, call);
    const carryInMs = call.carryAfterMs === undefined ? Infinity : info.scheduledTimestampMs + call.carryAfterMs - now;
    if (carryInMs <= 0 && look !== 'store away') return 'carry';
    const recheckMs =
      restMs > 0 ? restMs : look === 'store away' ? pace.storeAwayMs : pace.recheckMs * (0.8 + 0.4 * Math.random());
    throw ApplicationFailure.create({
      message: `Waits ${forWhat(park)}.`,
      type: 'still_parked',
      category: ApplicationFailureCategory.BENIGN,
      nextRetryDelay: Math.max(1, Math.ceil(Math.min(wakeInMs, Math.max(1, carryInMs), recheckMs))),
    });
  };
}

/**
 * An attempt that lay waiting for a worker, such as over a night without any, does not know for how long. Where this machine's clock says
 * that the wait may be over, the server is asked when it handed the attempt out; that clock alone is never believed.
 */
async function timeFor({ wakeAt }: Park, clock: () => number): Promise<number> {
  const scheduledAt = clock();
  if (wakeAt === undefined || scheduledAt >= wakeAt || Date.now() < wakeAt) return scheduledAt;
  return Math.max(scheduledAt, (await startedAt()) ?? 0);
}

/** Row and question in one transaction: whoever lets parked runs go either sees this row, or has let the breaker admit before this look. */
async function lookAfter(pool: Pool, call: ParkCall): Promise<Look> {
  const { park, health, runKey, stage, generation, execution } = call;
  const at = { runKey, stage, generation, execution, workflowId: activityInfo().workflowExecution!.workflowId };
  return await withClient(pool, (client) =>
    inTransaction(client, async () => {
      // A run that is not open yet has no row to compare with, so Temporal is asked instead.
      if (generation === undefined) {
        await lockKey(client, runKey);
        if (!(await isWanted())) return 'too late';
      }
      if (!(await writePark(client, at, park, health))) return 'too late';
      if (park.until !== 'upstream' || park.upstream === undefined) return 'wait';
      const breaker = await wouldAdmit(client, park.upstream);
      const released = breaker.admit && (await isReleased(client, { ...at, token: park.token }, breaker.epoch));
      return released ? 'released' : isOpenToAll(breaker) ? 'open to all' : 'wait';
    }),
  );
}

/** While it ramps up, or is to be tried, only those go on who were let go: all at once would bring the upstream down again. */
const isOpenToAll = ({ admit, trial, state }: Admission): boolean => admit && !trial && state !== 'ramping';

/** A worker that has lost the store has a breaker of its own. To be sent there again at once would be refused at once, over and over. */
function restOf({ failure, since }: Park, pace: Pace, now: number): number {
  if (failure.code !== 'breaker_open') return 0;
  const restMs = Math.min(Math.max(failure.nextDelayMs ?? 0, REFUSED_MS), pace.storeAwayMs);
  return Math.max(0, since + restMs - now);
}

/** The row is written by now, so a recovery that cannot be started here is started by watch. */
async function makeSure(where: Where, upstream: string, call: ParkCall): Promise<void> {
  try {
    await startRecovery(getClient(), where, upstream);
  } catch (error) {
    log.warn('The recovery of an upstream could not be started; watch starts it.', {
      run: call.runKey,
      upstream,
      error: toldName(error),
    });
  }
}

const forWhat = ({ until, upstream, wakeAt }: Park): string =>
  until === 'decision'
    ? 'for a decision'
    : until === 'upstream'
      ? `for ${upstream}`
      : `until ${new Date(wakeAt ?? 0).toISOString()}`;
