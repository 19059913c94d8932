// What lives here: a worker's ties to the command that started it.
// Invariant: a worker of a stack takes no work before the stack's books hold it; one of `mendflow dev` does not outlive it, and none the folder of its stack.
// Apart because a command can be killed at any moment: nobody else could end a worker that nobody knows.
import { existsSync } from 'node:fs';
import { setInterval as every } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { CodedError } from '../model/failure.ts';
import { isInBooks } from '../stack/index.ts';

const LOOK_EVERY_MS = 50;
const PARENT_EVERY_MS = 1_000;

/** Waits until the stack has written this process down. Throws if the one that started it ended before it had. */
export async function untilKnown({ dir, startedBy }: Pick<Config, 'dir' | 'startedBy'>): Promise<void> {
  if (startedBy?.what !== 'stack') return;
  for (;;) {
    // The parent is looked at first: it may write and end between two looks.
    const orphan = process.ppid !== startedBy.pid;
    if (isInBooks(dir, process.pid)) return;
    if (orphan)
      throw new CodedError(
        'worker_lost',
        'Whoever started this worker ended before it had written it down, so nobody would know of it. It took no work. Start another one with `mendflow stack up`.',
      );
    await sleep(LOOK_EVERY_MS);
  }
}

/**
 * Calls `alone` once when the `mendflow dev` that started this worker has gone, however it went, or the folder of its stack: another stack may have a server
 * at the same address by then, and would be worked with this code. Returns how to end it.
 */
export function watchStarter({ dir, startedBy }: Pick<Config, 'dir' | 'startedBy'>, alone: () => void): () => void {
  if (startedBy === undefined) return () => undefined;
  const timer = every(() => {
    if (existsSync(dir) && (startedBy.what === 'stack' || process.ppid === startedBy.pid)) return;
    clearInterval(timer);
    alone();
  }, PARENT_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
