// What lives here: noticing that files of a project changed.
// Invariant: one word per change, however many files an editor or a checkout touches; it never misses one, because it compares instead of listening.
// Apart because the system's own watchers miss files on network folders and in containers, and are told here in one small way.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 300;
/** More files than a project of pipelines has; a folder beyond that is not watched whole, and says so. */
const FILES_MAX = 5_000;

/** What the watched files look like now: equal texts mean that nothing changed. */
export function looksOf(paths: readonly string[]): string {
  const looks: string[] = [];
  const waiting = [...paths];
  for (let path = waiting.pop(); path !== undefined && looks.length < FILES_MAX; path = waiting.pop()) {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) waiting.push(...entriesOf(path));
    else looks.push(`${path} ${found === undefined ? 'gone' : `${found.mtimeMs} ${found.size}`}`);
  }
  return looks.sort().join('\n');
}

/** A folder may vanish between being seen and being read; the next look then finds it gone. */
function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name !== 'node_modules' && !name.startsWith('.'))
      .map((name) => join(folder, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Yields once for each change below the paths since this call, after the files have been still for one look. Ends when the signal aborts. */
export const changes = (paths: readonly string[], signal: AbortSignal): AsyncGenerator<void> =>
  // The first look is taken now: a generator would begin only when it is asked for its first change.
  changesSince(looksOf(paths), paths, signal);

async function* changesSince(first: string, paths: readonly string[], signal: AbortSignal): AsyncGenerator<void> {
  let known = first;
  for (let last = known; !signal.aborted;) {
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    const now = looksOf(paths);
    if (now !== last) last = now;
    else if (now !== known) {
      known = now;
      yield;
    }
  }
}
