// What lives here: waiting for a time slot of a paced upstream.
// Invariant: slots are reserved for those who wait now, never in advance; a slot that was missed is given up, not caught up with.
// Apart because pace is about seconds over all workers, and a breaker is about failures.
import { spacingMsOf } from '../../model/breaker.ts';
import { reserveSlots } from '../../store/breaker-calls.ts';
import { untilAborted } from '../abort.ts';
import type { Cache, Entry } from './cache.ts';

/** The twentieth by which slots lie wider than even, less a rest: so late may a call go out without crowding a second. */
const LATE_MS = 40;
/** After that many missed slots a machine is so busy that going is better than waiting. */
const MISSED_MAX = 3;

interface Slot {
  /** When to go, and how late is too late. */
  readonly at: number;
  readonly lateAt: number;
}
interface Line {
  readonly waiting: ((slot: Slot) => void)[];
  reserving: boolean;
}

const lines = new WeakMap<Entry, Line>();

/** Returns when the call may go out. Rejects with the signal's reason. */
export async function turn(
  cache: Cache,
  entry: Entry,
  callsPerSecond: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let missed = 0; ; missed++) {
    const { at, lateAt } = await untilGiven(cache, entry, callsPerSecond, signal);
    while (cache.now() < at) await sleep(at - cache.now(), signal);
    if (cache.now() <= lateAt || missed >= MISSED_MAX) return;
  }
}

async function untilGiven(
  cache: Cache,
  entry: Entry,
  callsPerSecond: number,
  signal: AbortSignal | undefined,
): Promise<Slot> {
  const line = lines.get(entry) ?? { waiting: [], reserving: false };
  lines.set(entry, line);
  const given = new Promise<Slot>((resolve) => void line.waiting.push(resolve));
  if (!line.reserving) void reserve(cache, entry, callsPerSecond, line);
  return await (signal ? untilAborted(given, signal) : given);
}

/** One reservation for all who wait, and another for those who came meanwhile. */
async function reserve(cache: Cache, entry: Entry, callsPerSecond: number, line: Line): Promise<void> {
  line.reserving = true;
  // Callers of one turn of the event loop share the first reservation.
  await Promise.resolve();
  while (line.waiting.length > 0) {
    const served = line.waiting.splice(0);
    const asked = cache.now();
    const { waitMs, spacingMs } =
      (await cache.ask((db) => reserveSlots(db, entry.key, served.length, callsPerSecond))) ??
      alonePace(cache, entry, served.length, callsPerSecond);
    const answered = cache.now();
    served.forEach((give, index) => {
      // The slot lies between these two: how long the answer took counts as lateness, but not so much that nobody ever goes.
      const at = answered + waitMs + index * spacingMs;
      give({ at, lateAt: Math.max(asked + waitMs + index * spacingMs, at - LATE_MS / 2) + LATE_MS });
    });
  }
  line.reserving = false;
}

/** Without the store a worker keeps to its share. */
function alonePace(
  cache: Cache,
  entry: Entry,
  slots: number,
  callsPerSecond: number,
): { waitMs: number; spacingMs: number } {
  const share = callsPerSecond / cache.workers;
  const { waitMs } = cache.step(entry, { type: 'pace', slots, callsPerSecond: share });
  return { waitMs: waitMs ?? 0, spacingMs: spacingMsOf(share) };
}

async function sleep(timeMs: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.ceil(timeMs));
  });
  try {
    await (signal ? untilAborted(over, signal) : over);
  } finally {
    clearTimeout(timer);
  }
}
