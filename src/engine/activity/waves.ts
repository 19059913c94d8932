// What lives here: letting parked runs go in waves, so that an upstream that has just come back is not brought down again.
// Invariant: each wave looks at the breaker first and stops when its epoch has moved; the next one goes when four fifths of the last have begun.
// Apart from the rest of recovery because this is the part that herds.
import { setTimeout as sleep } from 'node:timers/promises';
import { Context, getClient } from '@temporalio/activity';
import { CALLS_PER_SECOND } from '../../model/upstream.ts';
import { wouldAdmit } from '../../store/breakers.ts';
import { countParks, releaseWave } from '../../store/parks.ts';
import { lostMsOf } from '../pace.ts';
import type { RecoveryMemo, Ticked } from '../workflow/recovery.ts';
import type { RecoveryTools } from './recovery.ts';
import { wake } from './wake.ts';

/** A wave is at most what the upstream takes in so many seconds. */
const WAVE_SECONDS_MAX = 5;
/** Share of a wave that has to be under way before the next. */
const BEGUN_SHARE = 0.8;
const LOOK_MS = 100;
/** One activity lets go for so long, then the workflow takes note of where it is. */
const ROUND_MS = 20_000;

/** Whom to let go, and how fast. */
export interface Herd {
  readonly upstream: string;
  readonly epoch: number;
  readonly callsPerSecond: number | undefined;
}

/** Wave `no` (from 0) of an upstream that takes so many calls a second. */
export const waveSize = (no: number, callsPerSecond: number): number =>
  Math.max(1, Math.floor(Math.min(2 ** no, callsPerSecond * WAVE_SECONDS_MAX)));

export async function letGo(
  { pool, pace }: Pick<RecoveryTools, 'pool' | 'pace'>,
  herd: Herd,
  memo: RecoveryMemo,
): Promise<Ticked> {
  const { upstream, epoch } = herd;
  const startedAt = performance.now();
  let wave = memo.wave?.epoch === epoch ? memo.wave : { epoch, no: 0, size: 0 };
  const { cancellationSignal } = Context.current();
  const ticked = (nextInMs: number, text: string): Ticked => ({
    memo: { wave },
    nextInMs,
    over: false,
    probe: false,
    what: 'runs are let go in waves',
    text: `**${upstream}** admits calls again. ${text}`,
  });
  for (;;) {
    Context.current().heartbeat();
    const breaker = await wouldAdmit(pool, upstream);
    if (!breaker.admit || breaker.trial || breaker.epoch !== epoch) return ticked(1, 'Its breaker has moved.');
    const { waiting, going } = await countParks(pool, upstream, { epoch, lostMs: lostMsOf(pace) });
    if (waiting === 0)
      return ticked(Math.min(going === 0 ? 1 : 1_000, pace.tellAgainMs), `${going} stages are on their way.`);
    if (going <= wave.size * (1 - BEGUN_SHARE)) {
      const size = waveSize(wave.no, herd.callsPerSecond ?? CALLS_PER_SECOND);
      const released = await releaseWave(pool, upstream, epoch, size);
      wave = { epoch, no: wave.no + 1, size: released.length };
      await wake(pool, getClient(), released);
    } else await sleep(LOOK_MS, undefined, { signal: cancellationSignal });
    if (performance.now() - startedAt >= ROUND_MS || cancellationSignal.aborted)
      return ticked(1, `${waiting} stages still wait, ${going} are on their way.`);
  }
}
