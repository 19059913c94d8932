// What lives here: that all of a stack was gone at once, as the next `up` finds it: nobody was left to see it happen.
// Invariant: a stack that `down` ended was not lost, nor one of which any process lives; when it ended is told from the files that it wrote to last, so "about".
// Apart from stack.ts because it only reads what was left, before anything is started.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Loss, readNotes, writeNotes } from './keeper/process.ts';
import { runningPostgres } from './postgres.ts';
import { readStack } from './state.ts';
import { isAlive } from './system/process.ts';
import { runningTemporal } from './temporal.ts';

const LOSSES_KEPT = 20;

/** Writes down that the stack of this folder was down without anybody's word, if it was. */
export async function noteLoss(dir: string): Promise<void> {
  const books = readStack(dir);
  if (books === undefined || books.ended === true) return;
  // Whoever was told to end is no loss.
  const known = [
    ...books.workers.filter(({ told }) => told !== true),
    ...(books.keeper === undefined ? [] : [books.keeper]),
  ];
  const processes = known.length + (books.postgres === 'own' ? 1 : 0) + (books.temporal === 'own' ? 1 : 0);
  if (processes === 0 || known.some((one) => isAlive(one.process))) return;
  if (runningTemporal(dir) !== undefined || (await runningPostgres(dir)) !== undefined) return;
  const loss: Loss = {
    from: new Date(lastSignOfLife(dir)).toISOString(),
    to: new Date().toISOString(),
    processes,
  };
  const notes = readNotes(dir);
  writeNotes(dir, { ...notes, losses: [...(notes.losses ?? []), loss].slice(-LOSSES_KEPT) });
}

/** In ms. The Temporal server writes to its database also while no run is under way. */
function lastSignOfLife(dir: string): number {
  const logs = join(dir, 'logs');
  const files = [
    ...namesIn(dir).filter((name) => name.startsWith('temporal.db') || name === 'stack.json'),
    ...namesIn(logs).map((name) => join('logs', name)),
  ];
  return Math.max(0, ...files.map((name) => statSync(join(dir, name), { throwIfNoEntry: false })?.mtimeMs ?? 0));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
