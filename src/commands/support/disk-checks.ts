// What lives here: what `doctor` and `stack status` say of the disks that a stack writes to.
// Invariant: it asks the file system and writes nothing; each disk is told once.
// Apart because a full disk leaves every server answering, and nothing else of `doctor` would see it.
import type { StatsFs } from 'node:fs';
import { stat, statfs } from 'node:fs/promises';
import { shellWord } from '../../model/shell.ts';
import { foldersOf } from '../../stack/index.ts';
import type { Check } from './checks.ts';

const MIB = 2 ** 20;
/** Postgres takes space for its log in parts of 16 MiB, and needs two to go on. */
const FULL_BYTES = 32 * MIB;
/** So much a busy Postgres may take between two checkpoints (its `max_wal_size`). */
const NEARLY_FULL_BYTES = 1_024 * MIB;

export async function diskChecks(dir: string): Promise<Check[]> {
  const disks = new Map<number, Check>();
  for (const folder of foldersOf(dir)) {
    const [at, space] = await Promise.all([stat(folder), statfs(folder)]).catch(() => []);
    // Not made yet; or no file system with a size.
    if (at === undefined || space === undefined || space.blocks === 0 || disks.has(at.dev)) continue;
    disks.set(at.dev, checkOf(folder, space));
  }
  return [...disks.values()];
}

function checkOf(folder: string, { bavail, blocks, bsize, files, ffree }: StatsFs): Check {
  const free = bavail * bsize;
  const name = 'Disk';
  // Some file systems have no count of files, and say 0 of 0.
  const noFiles = files > 0 && ffree === 0;
  const left = noFiles ? 'room for no more file' : `${inWords(free)} free of ${inWords(blocks * bsize)}`;
  const mend = `Free space on that disk: df -h ${shellWord(folder)}`;
  if (noFiles || free < FULL_BYTES)
    return {
      name,
      state: 'wrong',
      says: `${folder} is full, ${left}: Postgres and Temporal of this stack cannot write there, so no chunk is committed and no run goes on. What was committed stays. Once there is space all goes on by itself`,
      mend,
    };
  if (free < NEARLY_FULL_BYTES)
    return { name, state: 'note', says: `${folder} is nearly full, ${left}. When it is full every run waits`, mend };
  return { name, state: 'ok', says: left };
}

/** `512 MiB`, `78.9 GiB`. */
const inWords = (bytes: number): string =>
  bytes < 1_024 * MIB ? `${Math.floor(bytes / MIB)} MiB` : `${(bytes / MIB / 1_024).toFixed(1)} GiB`;
