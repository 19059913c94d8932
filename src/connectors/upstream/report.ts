// What lives here: telling the breaker how calls ended.
// Invariant: successes are summed and told once a second, failures at once, one report of an upstream at a time; what the store does not hear, the local breaker counts.
// Apart because it must never hold up data, and must never lose a failure either.
import type { Answer, Effect, Report } from '../../model/breaker.ts';
import { aboutOf, type Cause, type FailedCall, noteOk } from '../../model/breaker-evidence.ts';
import type { Code } from '../../model/failure.ts';
import { reportBreaker } from '../../store/breaker-calls.ts';
import { type Cache, type Entry, PATIENCE_MS, within } from './cache.ts';

/** A call that was let go. */
export interface Leave {
  readonly epoch: number;
  readonly era: number;
  /** Set if it is a trial. */
  readonly token?: string;
  /** Whose call it is. */
  readonly by?: string | undefined;
}

interface Sums {
  epoch: number;
  era: number;
  ok: number;
  fail: number;
  slow: number;
  ended: number;
  tail: number;
  gateMs: number;
  waitMs: number;
  readonly calls: FailedCall[];
  okBy?: string;
  okOthers: boolean;
  cause?: Cause;
}
interface Outbox {
  sums: Sums | undefined;
  sending: Promise<void> | undefined;
}

const FLUSH_MS = 1_000;
const outboxes = new WeakMap<Entry, Outbox>();
const outboxOf = (entry: Entry): Outbox => {
  let box = outboxes.get(entry);
  if (!box) outboxes.set(entry, (box = { sums: undefined, sending: undefined }));
  return box;
};

/** The sums that this call belongs to; undefined if its epoch is over, so that it says nothing any more. */
function sumsFor(entry: Entry, leave: Leave): Sums | undefined {
  if (leave.era !== entry.era || leave.epoch < entry.b.epoch) return undefined;
  const box = outboxOf(entry);
  if (box.sums?.epoch !== leave.epoch || box.sums.era !== leave.era)
    box.sums = {
      epoch: leave.epoch,
      era: leave.era,
      ok: 0,
      fail: 0,
      slow: 0,
      ended: 0,
      tail: 0,
      gateMs: 0,
      waitMs: 0,
      calls: [],
      okOthers: false,
    };
  return box.sums;
}

/** Who is not known is somebody all the same. */
export const nameOf = ({ by = 'nobody' }: Leave): string => by;

/** The last failure in words that people may see anywhere. */
export const causeOf = (entry: Entry, { by }: Leave, code: Code): Cause =>
  (entry.cause = { code, ...(entry.at === undefined ? {} : { at: entry.at }), ...(by === undefined ? {} : { by }) });

/** It was answered. Takes no time; the store hears of it within a second. */
export function countOk(cache: Cache, entry: Entry, leave: Leave, wasSlow: boolean): void {
  const by = nameOf(leave);
  entry.seen = noteOk(entry.seen, { ok: 1, okBy: by }, cache.now());
  const sums = sumsFor(entry, leave);
  if (!sums) return;
  sums.ok++;
  sums.tail = 0;
  if (sums.okBy !== undefined && sums.okBy !== by) sums.okOthers = true;
  sums.okBy = by;
  if (wasSlow) sums.ended++;
}

/** It has become slow and still runs: told at once, else an outage of hangs is seen one timeout late. */
export function countSlow(cache: Cache, entry: Entry, leave: Leave): void {
  const sums = sumsFor(entry, leave);
  if (!sums) return;
  sums.slow++;
  void flush(cache, entry);
}

/** It failed, or the upstream asked for fewer calls. Returns when the breaker knows, or after a moment. */
export async function countBad(
  cache: Cache,
  entry: Entry,
  leave: Leave,
  wasSlow: boolean,
  what: { readonly failed?: Code; readonly gateMs?: number; readonly waitMs?: number },
): Promise<void> {
  const sums = sumsFor(entry, leave);
  // A gate holds whatever epoch the call was of.
  if (!sums) return void ((what.gateMs ?? 0) > 0 && (await tell(cache, entry, leave, { gateMs: what.gateMs! })));
  if (what.failed !== undefined) {
    sums.fail++;
    sums.tail++;
    sums.calls.push({ about: aboutOf(what.failed), by: leave.by });
    sums.cause = causeOf(entry, leave, what.failed);
  }
  if (wasSlow) sums.ended++;
  sums.gateMs = Math.max(sums.gateMs, what.gateMs ?? 0);
  sums.waitMs = Math.max(sums.waitMs, what.waitMs ?? 0);
  await flush(cache, entry);
}

/** Sends what there is; one report at a time, so that a dead upstream does not make everybody queue for one row. */
export async function flush(cache: Cache, entry: Entry): Promise<void> {
  const box = outboxOf(entry);
  const mine = box.sums;
  while (box.sending) await box.sending;
  // Another waiter may have sent it already.
  if (!mine || box.sums !== mine) return;
  box.sums = undefined;
  box.sending = send(cache, entry, mine).finally(() => (box.sending = undefined));
  await box.sending;
}

async function send(cache: Cache, entry: Entry, { era, ...sums }: Sums): Promise<void> {
  if (sums.ok + sums.fail + sums.slow + sums.ended === 0 && sums.gateMs === 0) return;
  await tell(cache, entry, { epoch: sums.epoch, era }, sums);
}

/** Tells one thing to the store, else to the local breaker. The copy is up to date when it returns. */
export async function tell(
  cache: Cache,
  entry: Entry,
  leave: Leave,
  what: Partial<Report>,
): Promise<Effect | undefined> {
  const told: Report = {
    ...what,
    epoch: leave.epoch,
    worker: cache.worker,
    ...(leave.token === undefined ? {} : { token: leave.token }),
  };
  if (leave.era !== entry.era) return 'late';
  const answer = await cache.ask((db) => reportBreaker(db, entry.key, told));
  if (!answer) {
    const local: Answer = cache.step(entry, { type: 'report', ...told });
    return local.effect;
  }
  const known = entry.b.epoch === answer.epoch && entry.b.state === answer.state;
  if (!known || (told.gateMs ?? 0) > 0 || answer.effect === 'held') await cache.refresh([entry.key]);
  return answer.effect;
}

/** Tells sums each second until it is called; then once more, for as long as a moment. */
export function flushing(cache: Cache): () => Promise<void> {
  const all = (): Promise<unknown> => Promise.all([...cache.entries.values()].map((entry) => flush(cache, entry)));
  const timer = setInterval(() => void all(), FLUSH_MS).unref();
  return async () => {
    clearInterval(timer);
    await within(all(), PATIENCE_MS);
  };
}
