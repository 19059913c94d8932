// What lives here: the program that starts again what of a stack has ended by itself: Postgres, the Temporal server, workers.
// Invariant: it acts under the stack's lock and only while the books name it; between tries it waits longer and longer, up to half a minute, for as long as it takes.
// Apart because whoever brought the stack up has left, and a full disk may end everything at once: somebody has to be there when the space returns.
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeSync } from 'node:fs';
import { inBooksAsKeeper, missingParts, stackUp, workersWanted } from '../stack.ts';
import { lockedBy } from '../system/lock.ts';
import { lastWordsOf } from './last-words.ts';
import { type KeeperOrder, readNotes, type Repair, writeNotes } from './process.ts';

const LOOK_EVERY_MS = 1_000;
const WAIT_MAX_MS = 30_000;
/** So long nothing has ended: the next end is a new story. */
const CALM_MS = 60_000;
const REPAIRS_KEPT = 20;

const say = (line: string): void => {
  try {
    writeSync(1, `${new Date().toISOString()} ${line}\n`);
  } catch {
    // A full disk.
  }
};

async function keep(order: KeeperOrder): Promise<void> {
  const { dir } = order;
  let tries = 0;
  let nextAt = 0;
  let calmSince = Date.now();
  /** When all was last seen alive, or the last try began: what has ended since then did so later. */
  let livedAt = Date.now();
  const { losses = [], ...found } = readNotes(dir);
  let noted: readonly Repair[] = found.repairs;
  writeNotes(dir, { repairs: noted, losses });
  for (;;) {
    await sleep(LOOK_EVERY_MS);
    // Ended without a word, or replaced: the stack is somebody else's.
    if (!inBooksAsKeeper(dir, process.pid)) return;
    const lookedAt = Date.now();
    // An `up` with fewer workers may have been killed before it ended this keeper; what it was told counts all the same.
    const wanted: KeeperOrder = { ...order, workers: Math.min(order.workers, workersWanted(dir)) };
    if ((await missingParts(wanted)).length === 0) {
      livedAt = lookedAt;
      if (Date.now() - calmSince > CALM_MS) tries = 0;
      continue;
    }
    if (Date.now() < nextAt) {
      calmSince = Date.now();
      continue;
    }
    // What is killed all at once may die while one looks: the next look finds all of it.
    const missing = await missingParts(wanted);
    // Whoever brings the stack up or ends it is at work: what ends now was told to, and what has died is seen afterwards.
    if (lockedBy(dir, 'stack') !== undefined || missing.length === 0) continue;
    calmSince = Date.now();
    const died = missing.filter((one) => one.died);
    for (const { what } of missing.filter((one) => !one.died))
      say(`${what} was told to end by a command that was interrupted, and is started again.`);
    const repairs = died.map(({ what, logFile }): Repair => ({
      at: new Date().toISOString(),
      what,
      lastWords: lastWordsOf(logFile, livedAt),
    }));
    for (const { what, lastWords } of repairs) say(`${what} has ended and is started again. ${lastWords}`);
    noted = [...noted, ...repairs].slice(-REPAIRS_KEPT);
    writeNotes(dir, { repairs: noted, losses });
    tries += 1;
    livedAt = Date.now();
    const waitMs = Math.min(WAIT_MAX_MS, LOOK_EVERY_MS * 2 ** (tries - 1));
    const stuck = await stackUp({ ...wanted, keeper: 'stays' }).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    nextAt = Date.now() + waitMs;
    if (stuck !== undefined) say(`Not all came back; the next try is in ${Math.round(waitMs / 1_000)} s. ${stuck}`);
    writeNotes(dir, {
      repairs: noted,
      losses,
      ...(stuck === undefined ? {} : { stuck: stuck.slice(0, 2_000), nextTryAt: new Date(nextAt).toISOString() }),
    });
  }
}

/** Cut short, where whoever started it was killed before the order was given. */
const orderIn = (said: string): KeeperOrder | undefined => {
  try {
    return JSON.parse(said) as KeeperOrder;
  } catch {
    return undefined;
  }
};

// Nothing that goes wrong in a try may end the keeping.
process.on('unhandledRejection', (error) =>
  say(`A try went wrong: ${error instanceof Error ? error.message : String(error)}`),
);
const order = orderIn(await text(process.stdin));
if (order !== undefined) await keep(order);
