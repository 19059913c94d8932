// What lives here: how many calls of one upstream may be under way at once in this worker; the others wait in line.
// Invariant: first come, first served; a slot given back goes to exactly one waiter, and one that gave up takes none with it.
// Apart because a hanging upstream may fill its own slots, and must not take those of others.
import { untilAborted } from './abort.ts';

export interface Slots {
  /** Runs the work in a slot. Rejects with the signal's reason if it is aborted in line. */
  hold<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T>;
  /** Slots taken and calls in line, for tests and for people. */
  taken(): number;
  waiting(): number;
}

export function slots(max: number): Slots {
  let taken = 0;
  const line: (() => void)[] = [];
  const give = (): void => {
    const next = line.shift();
    if (next) next();
    else taken--;
  };
  return {
    async hold(signal, work) {
      signal?.throwIfAborted();
      if (taken < max) taken++;
      else await inLine(line, signal, give);
      try {
        return await work();
      } finally {
        give();
      }
    },
    taken: () => taken,
    waiting: () => line.length,
  };
}

/** Waits for a slot that is handed over. */
async function inLine(line: (() => void)[], signal: AbortSignal | undefined, give: () => void): Promise<void> {
  let handed = false;
  let mine: (() => void) | undefined;
  const turn = new Promise<void>((resolve) => {
    mine = (): void => {
      handed = true;
      resolve();
    };
    line.push(mine);
  });
  try {
    await (signal ? untilAborted(turn, signal) : turn);
  } catch (error) {
    const place = mine ? line.indexOf(mine) : -1;
    if (place >= 0) line.splice(place, 1);
    // The slot came at the very moment of the abort: it goes on to the next.
    else if (handed) give();
    throw error;
  }
}
