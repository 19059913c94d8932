// What lives here: ending workers of a stack because somebody said so.
// Invariant: one that is told to end is marked so in the books before it gets its signal; so its end is taken for no death, also where whoever told it is killed meanwhile.
// Apart from worker-process.ts, which knows no books, and because `up` and `down` both end workers.
import { type StackState, type WorkerEntry, writeStack } from './state.ts';
import { stopWorkers } from './worker-process.ts';

/** `leaving` are among the workers of these books, which are written; each drains first. */
export async function endWorkers(
  dir: string,
  books: StackState,
  leaving: readonly WorkerEntry[],
  write = writeStack,
): Promise<void> {
  const workers = books.workers.map((one) => (leaving.includes(one) ? { ...one, told: true as const } : one));
  write(dir, { ...books, workers });
  await stopWorkers(leaving);
}

/** For `down`: where the disk is full the books stay as they are, and that keeps nobody from ending anything. */
export function writeIfRoom(dir: string, books: StackState): void {
  try {
    writeStack(dir, books);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

/** After `down`: nothing of the stack is left. */
export const closeBooks = (dir: string, { keeper: _keeper, ...state }: StackState): void =>
  writeIfRoom(dir, { ...state, workers: [], workersWanted: 0, ended: true });
