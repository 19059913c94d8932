// What lives here: what this process knows of each breaker, and whether it can ask the store.
// Invariant: while the store answers, the copies are its rows; while it does not, each copy is a breaker of its own, and nobody waits for the store.
// Apart because every part of the runtime reads it, and only here does it change hands.
import type { Pool } from 'pg';
import {
  alone,
  type BreakerEvent,
  type BreakerState,
  freshBreaker,
  type Answer,
  reduceBreaker,
} from '../../model/breaker.ts';
import { fullRetryBudget, type RetryBudget } from '../../model/retry-budget.ts';
import { breakerSettingsOf, type Upstream, type Upstreams } from '../../model/upstream.ts';
import type { Callers, Cause } from '../../model/breaker-evidence.ts';
import type { Copy } from '../../store/breaker-calls.ts';
import type { Db } from '../../store/db.ts';
import type { UpstreamOptions } from './types.ts';

/** Longest time that a call waits for one statement of the store. */
export const PATIENCE_MS = 1_000;

/** One upstream in this process. */
export interface Entry {
  readonly key: string;
  readonly declared: Upstream;
  b: BreakerState;
  /** Figures for texts; of the last copy. */
  about: Pick<Copy, 'last' | 'modeBy' | 'modeWhy' | 'cause'>;
  /** Host and port of the declared address, where it is a URL. */
  readonly at: string | undefined;
  /** Who was answered in this process, and the last failure: what the copy does not know yet. */
  seen: Callers;
  cause: Cause | undefined;
  /** Raised when the store is back: what began before has epochs that the store does not know. */
  era: number;
  /** The store has just said no to a trial; until then it is not asked again. */
  refusedUntil: number;
  budget: RetryBudget;
}

export interface Cache {
  readonly entries: ReadonlyMap<string, Entry>;
  readonly worker: string;
  readonly readSecret: UpstreamOptions['readSecret'];
  /** True: local breakers count. */
  away: boolean;
  /** Workers that listened when last looked. */
  workers: number;
  /** Ends the waits for the store that are under way: what one has learned, the others need not wait for. */
  readonly waits: Set<() => void>;
  now(): number;
  /** Takes over what the store has. */
  take(copies: readonly Copy[]): void;
  /** From now on each upstream has a breaker of this process alone. */
  leave(): void;
  /** The store is back, and these are its rows. */
  back(copies: readonly Copy[]): void;
  /** One step of a local breaker. */
  step(entry: Entry, event: BreakerEvent): Answer;
  /** What the store says, or undefined if it does not within a moment; then it counts as away. `late` gets what comes too late. */
  ask<T>(statement: (db: Db) => Promise<T>, late?: (value: T) => void): Promise<T | undefined>;
  /** Reads these again now; set by the listener. Returns within a moment. */
  refresh(keys: readonly string[]): Promise<void>;
  /** Has the listener look at once whether the store is there; set by it. */
  check(): void;
}

const nothing = (): void => undefined;

export function openCache(declared: Upstreams, options: UpstreamOptions): Cache {
  const now = (): number => performance.now();
  const told = options.onTransition ?? nothing;
  const entries = new Map(
    Object.entries(declared).map(([key, one]): [string, Entry] => [key, entryOf(key, one, now())]),
  );
  const set = (entry: Entry, b: BreakerState): void => {
    const before = entry.b.state;
    entry.b = b;
    if (before !== b.state) told(entry.key, b.state);
  };
  const cache: Cache = {
    entries,
    worker: options.worker,
    readSecret: options.readSecret,
    away: true,
    workers: 1,
    waits: new Set(),
    now,
    take(copies) {
      for (const { key, state, ...about } of copies) {
        const entry = entries.get(key);
        if (!entry || cache.away) continue;
        if (entry.b.epoch !== state.epoch || entry.b.mode !== state.mode) entry.refusedUntil = 0;
        entry.about = about;
        set(entry, state);
      }
    },
    leave() {
      if (cache.away) return;
      cache.away = true;
      for (const entry of entries.values()) set(entry, alone(entry.b, now()));
      for (const stopWaiting of cache.waits) stopWaiting();
    },
    back(copies) {
      cache.away = false;
      for (const entry of entries.values()) {
        entry.era++;
        entry.refusedUntil = 0;
      }
      cache.take(copies);
    },
    step(entry, event) {
      const { state, answer } = reduceBreaker(entry.b, event, now(), Math.random());
      set(entry, state);
      return answer;
    },
    ask: (statement, late) => askWithin(cache, options.control, statement, late ?? nothing),
    refresh: () => Promise.resolve(),
    check: nothing,
  };
  return cache;
}

const entryOf = (key: string, declared: Upstream, now: number): Entry => ({
  key,
  declared,
  b: freshBreaker(breakerSettingsOf(declared), now),
  about: { last: {} },
  at: hostOf(declared.address),
  seen: { failing: [] },
  cause: undefined,
  era: 0,
  refusedUntil: 0,
  budget: fullRetryBudget,
});

/** What people may see of an address anywhere: no path, no login. */
const hostOf = (address: string): string | undefined =>
  URL.canParse(address) && new URL(address).host !== '' ? new URL(address).host : undefined;

async function askWithin<T>(
  cache: Cache,
  control: Pool,
  statement: (db: Db) => Promise<T>,
  late: (value: T) => void,
): Promise<T | undefined> {
  if (cache.away) return undefined;
  let waiting = true;
  const answer = statement(control).then(
    (value) => {
      if (waiting) return { value };
      late(value);
    },
    () => undefined, // Why does not matter to a call: without an answer it goes on with its local breaker.
  );
  let stopWaiting = nothing;
  const left = new Promise<undefined>((resolve) => (stopWaiting = () => resolve(undefined)));
  cache.waits.add(stopWaiting);
  const got = await within(Promise.race([answer, left]), PATIENCE_MS);
  cache.waits.delete(stopWaiting);
  waiting = false;
  if (got) return got.value;
  if (cache.away) return undefined;
  cache.leave();
  cache.check();
  return undefined;
}

/** What comes of the work within that time; undefined if nothing does. It never rejects if the work does not. */
export async function within<T>(work: Promise<T>, timeMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<undefined>((resolve) => {
    // A process that was busy finds its timers due before it has read what arrived meanwhile: that gets one more turn.
    timer = setTimeout(() => setImmediate(() => setImmediate(() => resolve(undefined))), timeMs);
  });
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}
