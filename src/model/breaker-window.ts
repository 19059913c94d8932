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
  /** When one was answered last; not set once the worker has said goodbye. */
  readonly okAt?: number | undefined;
  /** When one was bad first. */
  readonly badAt?: number | undefined;
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

/** Answers are told a second late, so one so short ago may have company that nobody knows of yet. */
const TOLD_WITHIN_MS = 3_000;

const slotAt = (now: number, windowMs: number): number => Math.floor((now * SLOTS) / windowMs);

/** The buckets with these calls in them; a first bucket of a worker and slot also drops what is too old. */
export function add(buckets: readonly Bucket[], counts: Counts, now: number, windowMs: number): readonly Bucket[] {
  const { worker, ok = 0, fail = 0, slow = 0, ended = 0 } = counts;
  if (ok + fail + slow + ended === 0) return buckets;
  const slot = slotAt(now, windowMs);
  const at = buckets.findIndex((bucket) => bucket.slot === slot && bucket.worker === worker);
  const one: Bucket = {
    slot,
    worker,
    ok,
    fail,
    slow,
    hung: slow - ended,
    okAt: ok > 0 ? now : undefined,
    badAt: fail + slow > 0 ? now : undefined,
  };
  if (at < 0) return [...buckets.filter((bucket) => bucket.slot >= slot - SLOTS), one];
  const was = buckets[at]!;
  return buckets.with(at, {
    ...one,
    ok: was.ok + ok,
    fail: was.fail + fail,
    slow: was.slow + slow,
    hung: was.hung + one.hung,
    okAt: one.okAt ?? was.okAt,
    badAt: was.badAt ?? one.badAt,
  });
}

/** A worker says goodbye: its answers are no witnesses any more. */
export const without = (buckets: readonly Bucket[], worker: string): readonly Bucket[] =>
  buckets.map((bucket) => (bucket.worker === worker ? { ...bucket, okAt: undefined } : bucket));

/**
 * Sums of the window; with a worker as its failures see it. Who was answered only before they began is no witness that the upstream is well:
 * it may be gone, or was never there while the upstream was away.
 */
export function sums(buckets: readonly Bucket[], now: number, windowMs: number, of?: string): Sums {
  const slot = slotAt(now, windowMs);
  const seen = buckets.filter((bucket) => bucket.slot <= slot && bucket.slot > slot - SLOTS);
  const bad = new Set(seen.filter(({ fail, slow }) => fail + slow > 0).map(({ worker }) => worker));
  const began = Math.min(...seen.map(({ worker, badAt }) => (worker === of ? (badAt ?? Infinity) : Infinity)));
  const isWitness = ({ okAt }: Bucket): boolean =>
    okAt !== undefined && (okAt >= began || Math.abs(now - okAt) < TOLD_WITHIN_MS);
  const callers =
    of === undefined
      ? new Set(seen.map(({ worker }) => worker))
      : new Set([...bad, ...seen.filter(isWitness).map(({ worker }) => worker)]);
  const counted = seen.filter(({ worker }) => callers.has(worker));
  const sum = (what: (bucket: Bucket) => number): number => counted.reduce((total, bucket) => total + what(bucket), 0);
  return {
    calls:
      sum(({ ok, fail }) => ok + fail) +
      Math.max(
        sum(({ hung }) => hung),
        0,
      ),
    fail: sum(({ fail }) => fail),
    slow: sum(({ slow }) => slow),
    bad: bad.size,
    callers: callers.size,
  };
}
