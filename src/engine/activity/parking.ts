// What lives here: the wait of a parked stage: one activity that looks, and comes back later.
// Invariant: a park is never lost and never early: it goes on while the control store is away, and writes its row again at each look.
// Apart from the other healing activities because this one runs for days and decides when a wait is over.
import { activityInfo, getClient, log } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { Pool } from 'pg';
import type { Park } from '../../model/messages.ts';
import { type Admission, wouldAdmit } from '../../store/breakers.ts';
import { inTransaction, withClient } from '../../store/db.ts';
import { isReleased, writePark } from '../../store/parks.ts';
import type { Pace } from '../pace.ts';
import { startRecovery, type Where } from '../recoveries.ts';
import type { Healing, ParkCall } from '../workflow/heal.ts';

type Look = 'go' | 'wait' | 'store away';

export function parkIn(pool: Pool, where: Where, pace: Pace): Healing['park'] {
  return async (call: ParkCall) => {
    const info = activityInfo();
    const { park } = call;
    const now = Date.now();
    const wakeInMs = park.wakeAt === undefined ? Infinity : park.wakeAt - now;
    if (wakeInMs <= 0) return 'time';
    const look = await lookAfter(pool, call).catch((error: unknown): Look => {
      log.warn('The control store did not take the row of a park; the park goes on and writes it again.', {
        run: call.runKey,
        error: error instanceof Error ? error.name : 'unknown',
      });
      return 'store away';
    });
    if (look === 'go') return 'upstream';
    if (park.until === 'upstream' && park.upstream !== undefined) await makeSure(where, park.upstream, call);
    const carryInMs = call.carryAfterMs === undefined ? Infinity : info.scheduledTimestampMs + call.carryAfterMs - now;
    if (carryInMs <= 0 && look !== 'store away') return 'carry';
    const recheckMs = look === 'store away' ? pace.storeAwayMs : pace.recheckMs * (0.8 + 0.4 * Math.random());
    throw ApplicationFailure.create({
      message: `Waits ${forWhat(park)}.`,
      type: 'still_parked',
      category: ApplicationFailureCategory.BENIGN,
      nextRetryDelay: Math.max(1, Math.ceil(Math.min(wakeInMs, Math.max(1, carryInMs), recheckMs))),
    });
  };
}

/** Row and question in one transaction: whoever lets parked runs go either sees this row, or has let the breaker admit before this look. */
async function lookAfter(pool: Pool, call: ParkCall): Promise<Look> {
  const { park, stage, runKey, health } = call;
  const at = { runKey, stage, workflowId: activityInfo().workflowExecution!.workflowId };
  return await withClient(pool, (client) =>
    inTransaction(client, async () => {
      await writePark(client, at, park, health);
      if (park.until !== 'upstream' || park.upstream === undefined) return 'wait';
      const breaker = await wouldAdmit(client, park.upstream);
      const released = breaker.admit && (await isReleased(client, { ...at, token: park.token }, breaker.epoch));
      return released || isOpenToAll(breaker) ? 'go' : 'wait';
    }),
  );
}

/** While it ramps up, or is to be tried, only those go on who were let go: all at once would bring the upstream down again. */
const isOpenToAll = ({ admit, trial, state }: Admission): boolean => admit && !trial && state !== 'ramping';

/** The row is written by now, so a recovery that cannot be started here is started by watch. */
async function makeSure(where: Where, upstream: string, call: ParkCall): Promise<void> {
  try {
    await startRecovery(getClient(), where, upstream);
  } catch (error) {
    log.warn('The recovery of an upstream could not be started; watch starts it.', {
      run: call.runKey,
      upstream,
      error: error instanceof Error ? error.name : 'unknown',
    });
  }
}

const forWhat = ({ until, upstream, wakeAt }: Park): string =>
  until === 'decision'
    ? 'for a decision'
    : until === 'upstream'
      ? `for ${upstream}`
      : `until ${new Date(wakeAt ?? 0).toISOString()}`;
