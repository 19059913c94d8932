// What lives here: which user Postgres runs as, and folders which that user can reach.
// Invariant: Postgres never runs as root; what it needs lies where its user can read, its data where only its user can.
// Apart because it is the only part of the stack that knows of users and permissions.
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '../../model/failure.ts';
import { run, type RunAs } from '../system/process.ts';

const idOf = async (name: string): Promise<RunAs | undefined> => {
  const asked = [
    await run('id', ['-u', name], { timeoutMs: 5000 }),
    await run('id', ['-g', name], { timeoutMs: 5000 }),
  ];
  if (asked.some((one) => one.code !== 0 || !/^[1-9]\d*$/.test(one.output))) return undefined;
  const [uid = 0, gid = 0] = asked.map((one) => Number(one.output));
  return { uid, gid };
};

/** The user for Postgres: undefined (this user) unless this is root, then `postgres` or else `nobody`. */
export const postgresUser = async (): Promise<RunAs | undefined> => {
  if (process.getuid?.() !== 0) return undefined;
  const user = (await idOf('postgres')) ?? (await idOf('nobody'));
  if (user !== undefined) return user;
  throw new CodedError(
    'config_invalid',
    'Postgres refuses to run as root, and this machine has neither a user postgres nor a user nobody: add one (useradd --system postgres) or set DATABASE_URL.',
  );
};

/** Whether a user can enter a folder or run a file, all parents included. */
export const canReach = async (user: RunAs | undefined, path: string): Promise<boolean> =>
  (await run('/bin/sh', ['-c', 'test -x "$1"', 'sh', path], { as: user, timeoutMs: 5000 })).code === 0;

/**
 * A folder for one purpose that the user can reach: `<wanted>/<name>`, or, when root keeps `wanted` below a closed home,
 * a folder of the machine named by a hash of `wanted`, so that two checkouts never share it.
 */
export const reachableFolder = async (
  user: RunAs | undefined,
  wanted: string,
  name: string,
  machineFolder: '/var/lib/mendflow' | '/var/cache/mendflow',
): Promise<string> => {
  mkdirSync(wanted, { recursive: true });
  if (await canReach(user, wanted)) return join(wanted, name);
  const folder = join(machineFolder, createHash('sha256').update(wanted).digest('hex').slice(0, 12));
  mkdirSync(folder, { recursive: true });
  if (!(await canReach(user, folder))) {
    for (const open of [machineFolder, folder]) chmodSync(open, 0o755);
  }
  return join(folder, name);
};

/** Creates a folder that only this user can enter. */
export const ownFolder = (user: RunAs | undefined, path: string): void => {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  if (user !== undefined) chownSync(path, user.uid, user.gid);
  chmodSync(path, 0o700);
};
