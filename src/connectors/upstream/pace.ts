// What lives here: waiting for a time slot of a paced upstream.
// Invariant: slots are reserved for those who wait now, never in advance; a slot that was missed is given up, not caught up with.
// Apart because pace is about seconds over all workers, and a breaker is about failures.
import { spacingMsOf } from '../../model/breaker.ts';
import { reserveSlots } from '../../store/breaker-calls.ts';
import { untilAborted } from '../abort.ts';
import type { Cache, Entry } from './cache.ts';

/** The twentieth of a second by which slots lie wider than even, less a rest: so late may a call go out without crowding a second. */
const LATE_MS = 40;
/** A machine that misses that many slots in a row does nothing in time; then going is better than never. */
const MISSED_MAX = 20;
/** Where answers come late, slots are asked for that lie ahead by so much at most. */
const LEAD_MS_MAX = 1_000;
/** How long the quickest answer tells how far the clocks are apart. */
const CLOCKS_KNOWN_MS = 60_000;

interface Line {
  readonly waiting: ((slotAt: number) => void)[];
  reserving: boolean;
  /** What the last answer took, where slots had gone by when it came. */
  leadMs: number;
  /** The clock of the database less that of this process, by the quickest answer of late, and what that took. */
  clocks: { readonly apartMs: number; readonly tookMs: number; readonly at: number } | undefined;
}

const lines = new WeakMap<Entry, Line>();
function lineOf(entry: Entry): Line {
  const found = lines.get(entry) ?? { waiting: [], reserving: false, leadMs: 0, clocks: undefined };
  lines.set(entry, found);
  return found;
}

/** Returns when the call may go out. Rejects with the signal's reason. */
export async function turn(
  cache: Cache,
  entry: Entry,
  callsPerSecond: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let missed = 0; ; missed++) {
    const slotAt = await untilGiven(cache, entry, callsPerSecond, signal);
    while (cache.now() < slotAt) await sleep(slotAt - cache.now(), signal);
    if (cache.now() - slotAt <= LATE_MS || missed >= MISSED_MAX) return;
  }
}

async function untilGiven(
  cache: Cache,
  entry: Entry,
  callsPerSecond: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const line = lineOf(entry);
  const given = new Promise<number>((resolve) => void line.waiting.push(resolve));
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
    const { first, spacingMs } =
      (await reserveShared(cache, entry, served.length, callsPerSecond, line)) ??
      reserveAlone(cache, entry, served.length, callsPerSecond);
    served.forEach((give, index) => give(first + index * spacingMs));
  }
  line.reserving = false;
}

/** Slots of all workers, on the clock of this process; undefined while the store is away. */
async function reserveShared(
  cache: Cache,
  entry: Entry,
  slots: number,
  callsPerSecond: number,
  line: Line,
): Promise<{ first: number; spacingMs: number } | undefined> {
  const asked = cache.now();
  const got = await cache.ask((db) => reserveSlots(db, entry.key, slots, callsPerSecond, line.leadMs));
  if (!got) return undefined;
  const answered = cache.now();
  const tookMs = answered - asked;
  if (!line.clocks || tookMs <= line.clocks.tookMs || answered - line.clocks.at > CLOCKS_KNOWN_MS)
    line.clocks = { apartMs: got.at - (asked + answered) / 2, tookMs, at: answered };
  // The database answered between these two moments; the quickest answer of late tells more exactly when, unless a clock was set since.
  const said = Math.min(Math.max(got.at - line.clocks.apartMs, asked), answered);
  const first = said + got.waitMs;
  line.leadMs = answered - first > LATE_MS / 2 ? Math.min(tookMs * 2, LEAD_MS_MAX) : line.leadMs / 2;
  return { first, spacingMs: got.spacingMs };
}

/** Without the store a worker keeps to its share. */
function reserveAlone(
  cache: Cache,
  entry: Entry,
  slots: number,
  callsPerSecond: number,
): { first: number; spacingMs: number } {
  const share = callsPerSecond / cache.workers;
  const { waitMs = 0 } = cache.step(entry, { type: 'pace', slots, callsPerSecond: share });
  return { first: cache.now() + waitMs, spacingMs: spacingMsOf(share) };
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
