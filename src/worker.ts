// What lives here: the entry of the worker process: what has to hold before anything is loaded, and how the process ends.
// Invariant: it ends with a sentence and 1 where it cannot work; a process that polls nothing never stays.
// Apart from the composition root in worker/work.ts, which is loaded once there are enough files to open: some hundred modules are read at once.
import { filesLeft, filesNeeded, tooFewFiles } from './worker/open-files.ts';

/** So long a worker that has failed may still hold on to something. */
const STAY_MS = 5_000;

async function main(): Promise<void> {
  const needed = filesNeeded(1, 0);
  const left = filesLeft(needed);
  if (left < needed) throw new Error(tooFewFiles(left, needed));
  const { work } = await import('./worker/work.ts');
  await work();
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
  // A stage that would not be stopped must not keep a worker that polls nothing; what restarts workers waits for the end of this one.
  setTimeout(() => process.exit(), STAY_MS).unref();
});
