// What lives here: whether this process may open as many files as its work takes.
// Invariant: what is opened to find out is closed again; the answer is what the system does, not what a limit says.
// Apart because a worker that runs short half lives: one queue polls, the next cannot connect. It imports nothing, so that few files are enough to load it.
import { closeSync, openSync } from 'node:fs';
import { setInterval as every } from 'node:timers';

/** Of a worker that does nothing: the modules it reads while it starts, connections, queues, threads, the log. */
const BASE = 96;
/** For each stage at once: a file, connections to the store and to an upstream. */
const PER_SLOT = 4;
/** So many have to be left while it works: the time limit of one workflow task alone opens five, and Node aborts where it cannot. */
const SPARE = 32;
const LOOK_EVERY_MS = 5_000;

export const filesNeeded = (slotsMax: number, upstreamSlots: number): number =>
  BASE + PER_SLOT * (slotsMax + upstreamSlots);

/** How many of `wanted` more files can be opened now. */
export function filesLeft(wanted: number): number {
  const opened: number[] = [];
  try {
    while (opened.length < wanted) opened.push(openSync('/dev/null', 'r'));
  } catch {
    // EMFILE or ENFILE: that is the answer.
  } finally {
    for (const fd of opened) closeSync(fd);
  }
  return opened.length;
}

export const tooFewFiles = (left: number, needed: number): string =>
  `This worker can open ${left} more files and needs ${needed}: its connections, logs and stages would fail one by one. It took no work. Raise the limit where it is started (\`ulimit -n 1024\`; LimitNOFILE= of a systemd unit), or lower MENDFLOW_SLOTS.`;

/** Looks again and again; calls `short` once when twice in a row hardly any file can be opened. Returns how to end it. */
export function watchFiles(short: (left: number) => void): () => void {
  let before = SPARE;
  const timer = every(() => {
    const left = filesLeft(SPARE);
    if (left < SPARE && before < SPARE) {
      clearInterval(timer);
      short(left);
    }
    before = left;
  }, LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
