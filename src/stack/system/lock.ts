// What lives here: a lock on a folder, held by a process and known by its pid and start time.
// Invariant: at most one live process holds it, and a process that was killed never blocks the next one.
// Apart because it must stay right without a server, a database or help of the system: only links and `rename` are atomic everywhere.
import { mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../../model/failure.ts';
import { identify, isAlive, type ProcessId } from './process.ts';

// The holder is written as the target of a symbolic link: made in one step, and without a block, so that a folder can be locked when its disk is full.
// Each holder takes the next number. The highest number decides; it is never deleted, only marked as released, so numbers never go back
// and a slow process that read an old list cannot win: after linking its number it looks again whether that is the highest.
const highest = (folder: string): number =>
  Math.max(0, ...readdirSync(folder).flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : [])));

/** Who holds a lock, and for what. */
export interface Holder extends ProcessId {
  readonly doing?: string;
}

const holderOf = (folder: string, number: number): Holder | undefined => {
  try {
    const held = JSON.parse(readlinkSync(join(folder, String(number)))) as Partial<Holder>;
    const { pid, startedAt, doing } = held;
    return typeof pid === 'number' && typeof startedAt === 'string'
      ? { pid, startedAt, ...(doing === undefined ? {} : { doing }) }
      : undefined;
  } catch {
    return undefined; // Gone: a later holder tidied it away.
  }
};

const tryTake = (folder: string, me: Holder): number | undefined => {
  const last = highest(folder);
  const holder = last === 0 ? undefined : holderOf(folder, last);
  if (holder !== undefined && isAlive(holder)) return undefined;
  const mine = last + 1;
  try {
    symlinkSync(JSON.stringify(me), join(folder, String(mine)));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
  if (highest(folder) !== mine) {
    rmSync(join(folder, String(mine)), { force: true });
    return undefined;
  }
  for (const name of readdirSync(folder)) {
    if (/^\d+$/.test(name) && Number(name) < mine) rmSync(join(folder, name), { force: true });
  }
  return mine;
};

const release = (folder: string, number: number): void => {
  const draft = join(folder, `draft-${randomBytes(6).toString('hex')}`);
  symlinkSync('{}', draft);
  renameSync(draft, join(folder, String(number)));
};

/** The live process that holds the lock `<dir>/<name>.lock`; undefined where nobody does. Takes nothing. */
export const lockedBy = (dir: string, name: string): Holder | undefined => {
  const folder = join(dir, `${name}.lock`);
  try {
    const holder = holderOf(folder, highest(folder));
    return holder !== undefined && isAlive(holder) ? holder : undefined;
  } catch {
    return undefined; // Nobody ever took it.
  }
};

/**
 * Runs `work` while holding the lock `<dir>/<name>.lock`. Waits up to `waitMs` (default 90 s) for a live holder; `doing` says to others what for.
 * Not reentrant. Throws `config_invalid`, naming the holder's pid, when it stays taken.
 */
export const withLock = async <T>(
  dir: string,
  name: string,
  work: () => Promise<T>,
  { waitMs = 90_000, doing }: { readonly waitMs?: number; readonly doing?: string } = {},
): Promise<T> => {
  const folder = join(dir, `${name}.lock`);
  mkdirSync(folder, { recursive: true });
  const me = identify(process.pid);
  if (me === undefined)
    throw new Error(`The system does not tell the start time of this process (pid ${process.pid}).`);
  const until = Date.now() + waitMs;
  const holder: Holder = { ...me, ...(doing === undefined ? {} : { doing }) };
  let mine = tryTake(folder, holder);
  while (mine === undefined) {
    if (Date.now() >= until) {
      const pid = holderOf(folder, highest(folder))?.pid;
      throw new CodedError(
        'config_invalid',
        `The folder ${dir} has been in use by process ${pid ?? '(unknown)'} for ${Math.round(waitMs / 1000)} s; nothing was changed. Wait for that process, or end it, and try again.`,
      );
    }
    await sleep(50 + Math.random() * 50);
    mine = tryTake(folder, holder);
  }
  try {
    return await work();
  } finally {
    release(folder, mine);
  }
};
