// What lives here: one set-up at a time in a folder.
// Invariant: a killed set-up never blocks the next: a holder counts only while its process, told by pid and start time, lives.
// Apart from src/stack/system/lock.ts, which is the same idea with types, because there is no build yet when this runs.
import { linkSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { SetupError } from './command.mjs';

const startOf = (pid) => {
  try {
    if (process.platform !== 'linux') {
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim();
    }
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // The same words as src/stack/system/process.ts, for both take locks in the cache.
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8);
    return fields[0] === 'Z' ? undefined : `${boot}:${fields[19]}`;
  } catch {
    return undefined; // No such process.
  }
};

const numbers = (folder) =>
  readdirSync(folder)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

const holder = (folder, number) => {
  try {
    return JSON.parse(readFileSync(join(folder, String(number)), 'utf8'));
  } catch {
    return {}; // Tidied away by a later holder.
  }
};

// The highest number holds. It is marked when released, never deleted, so that numbers cannot come twice; whoever took a number
// from an old list sees a higher one on looking again, and gives way.
const tryTake = (folder) => {
  const last = Math.max(0, ...numbers(folder));
  const held = last === 0 ? {} : holder(folder, last);
  if (held.pid !== undefined && startOf(held.pid) === held.startedAt) return undefined;
  const mine = last + 1;
  const draft = join(folder, `draft-${process.pid}`);
  writeFileSync(draft, JSON.stringify({ pid: process.pid, startedAt: startOf(process.pid) }));
  try {
    linkSync(draft, join(folder, String(mine)));
  } catch (error) {
    if (error.code === 'EEXIST') return undefined;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
  if (Math.max(...numbers(folder)) !== mine) {
    rmSync(join(folder, String(mine)), { force: true });
    return undefined;
  }
  for (const number of numbers(folder)) if (number < mine) rmSync(join(folder, String(number)), { force: true });
  return mine;
};

/** Runs `work` alone in `<parent>/setup.lock`; waits up to ten minutes for another set-up. */
export const underLock = async (parent, work) => {
  const folder = join(parent, 'setup.lock');
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new SetupError(
      `The folder ${parent} cannot be written (${error.code}): change its owner, or set MENDFLOW_CACHE to a folder of yours.`,
    );
  }
  const until = Date.now() + 600_000;
  let mine = tryTake(folder);
  while (mine === undefined) {
    if (Date.now() > until)
      throw new SetupError(`Another set-up has been running in ${parent} for ten minutes: end it and try again.`);
    await sleep(100 + Math.random() * 100);
    mine = tryTake(folder);
  }
  try {
    return await work();
  } finally {
    const released = join(folder, `draft-${process.pid}`);
    writeFileSync(released, '{}');
    renameSync(released, join(folder, String(mine)));
  }
};
