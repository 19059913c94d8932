// What lives here: the window of a breaker: what was seen in the last sixths of a minute, by whom.
// Invariant: time, not count: a window that nobody called in is empty, however many calls there were before.
// Apart because it is arithmetic on counts and knows no states.

/** Sixths: fine enough that an outage shows, coarse enough for a few rows. */
const SLOTS = 6;

/** Calls of one worker in one slot. */
export interface Bucket {
  readonly slot: number;
  readonly worker: string;
  readonly ok: number;
  readonly fail: number;
  /** Calls that took longer than declared, counted while they still run. */
  readonly slow: number;
  /** Slow calls begun minus slow calls ended: those in neither ok nor fail yet. */
  readonly hung: number;
}

export interface Sums {
  readonly calls: number;
  readonly fail: number;
  readonly slow: number;
  /** Workers that saw a bad one. */
  readonly bad: number;
  /** Workers that called. */
  readonly callers: number;
}

interface Counts {
  readonly worker: string;
  readonly ok?: number;
  readonly fail?: number;
  readonly slow?: number;
  readonly ended?: number;
}

const slotAt = (now: number, windowMs: number): number => Math.floor((now * SLOTS) / windowMs);

/** The buckets with these calls in them; a first bucket of a worker and slot also drops what is too old. */
export function add(buckets: readonly Bucket[], counts: Counts, now: number, windowMs: number): readonly Bucket[] {
  const { worker, ok = 0, fail = 0, slow = 0, ended = 0 } = counts;
  if (ok + fail + slow + ended === 0) return buckets;
  const slot = slotAt(now, windowMs);
  const at = buckets.findIndex((bucket) => bucket.slot === slot && bucket.worker === worker);
  const one = { slot, worker, ok, fail, slow, hung: slow - ended };
  if (at < 0) return [...buckets.filter((bucket) => bucket.slot >= slot - SLOTS), one];
  const was = buckets[at]!;
  return buckets.with(at, {
    ...one,
    ok: was.ok + ok,
    fail: was.fail + fail,
    slow: was.slow + slow,
    hung: was.hung + one.hung,
  });
}

export function sums(buckets: readonly Bucket[], now: number, windowMs: number): Sums {
  const slot = slotAt(now, windowMs);
  let [ended, fail, slow, hung] = [0, 0, 0, 0];
  const bad = new Set<string>();
  const callers = new Set<string>();
  for (const bucket of buckets) {
    if (bucket.slot > slot || bucket.slot <= slot - SLOTS) continue;
    ended += bucket.ok + bucket.fail;
    fail += bucket.fail;
    slow += bucket.slow;
    hung += bucket.hung;
    callers.add(bucket.worker);
    if (bucket.fail + bucket.slow > 0) bad.add(bucket.worker);
  }
  return { calls: ended + Math.max(hung, 0), fail, slow, bad: bad.size, callers: callers.size };
}
