// What lives here: the data folder of a Postgres server: made by initdb, started by pg_ctl, and whether a server lives in it.
// Invariant: a folder named `data` is a complete cluster, and a server is started in it only when none lives there.
// Apart from ../postgres.ts, which decides whether a server of our own is wanted and what is handed out.
import { randomUUID } from 'node:crypto';
import {
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../../model/failure.ts';
import { freePorts } from '../system/ports.ts';
import { identify, lastLines, run, type ProcessId, type RunAs } from '../system/process.ts';

/** Where one server lives and what runs it. */
export interface Place {
  readonly user: RunAs | undefined;
  readonly binDir: string;
  readonly kind: 'embedded' | 'system';
  readonly home: string;
  readonly dataDir: string;
  readonly logFile: string;
}

// A bare environment: PGDATA, PGPORT or a library path of the caller must not reach the server.
const bareEnv = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/** The error of a server that did not come up, with the end of its log. */
export const notUp = (place: Place, what: string): CodedError =>
  new CodedError(
    'command_failed',
    `Postgres did not come up in ${place.dataDir}: ${what}\nIts data is untouched. ${place.logFile} ends with:\n${lastLines(place.logFile)}`,
  );

/** Postgres works in its data folder; another program that was given its old pid does not. */
const worksIn = async (pid: number, dataDir: string): Promise<boolean> => {
  if (process.platform !== 'linux') {
    return (await run('ps', ['-o', 'comm=', '-p', String(pid)], { timeoutMs: 5000 })).output.includes('postgres');
  }
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(dataDir);
  } catch {
    return false; // Ended meanwhile, or another user's, whose process cannot be this server.
  }
};

/** The postmaster of this data folder once it accepts connections; undefined when none lives. Waits up to 80 s for one that is recovering. */
export const postmaster = async (dataDir: string): Promise<{ id: ProcessId; port: number } | undefined> => {
  const file = join(dataDir, 'postmaster.pid');
  const until = Date.now() + 80_000;
  for (;;) {
    const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
    const id = identify(Number(lines[0] ?? 0));
    if (id === undefined || !(await worksIn(id.pid, dataDir))) return undefined;
    if (lines[7]?.trim() === 'ready' || Date.now() >= until) return { id, port: Number(lines[3]) };
    await sleep(100);
  }
};

/** The initdb of an `up` that was killed may still write into its draft, so a folder is tried again, and no two share one. */
const removeDrafts = ({ dataDir }: Place): void => {
  for (const name of readdirSync(dirname(dataDir)))
    if (name.startsWith(`${basename(dataDir)}.new`))
      rmSync(join(dirname(dataDir), name), { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
};

/** Makes the data folder with initdb; one that is killed on the way leaves only a draft. */
export const createCluster = async (place: Place, adminPassword: string): Promise<void> => {
  const draft = `${place.dataDir}.new-${randomUUID()}`;
  const passwordFile = join(place.home, 'initdb-password');
  removeDrafts(place);
  writeFileSync(passwordFile, `${adminPassword}\n`, { mode: 0o600 });
  if (place.user !== undefined) chownSync(passwordFile, place.user.uid, place.user.gid);
  try {
    // C.UTF-8 sorts by code point everywhere; a system that does not know it gets plain C, which sorts the same.
    let said = { code: 1, output: '' };
    for (const locale of ['C.UTF-8', 'C']) {
      const args = ['-D', draft, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8'];
      args.push(`--locale=${locale}`, '--data-checksums', '--no-instructions');
      said = await run(join(place.binDir, 'initdb'), args, {
        as: place.user,
        env: bareEnv,
        cwd: place.home,
        timeoutMs: 120_000,
      });
      if (said.code === 0) break;
      rmSync(draft, { recursive: true, force: true });
    }
    if (said.code !== 0) throw notUp(place, `initdb ended with code ${said.code}: ${said.output}`);
  } finally {
    rmSync(passwordFile, { force: true });
  }
  const conf = join(draft, 'postgresql.conf');
  writeFileSync(conf, `${readFileSync(conf, 'utf8')}\ninclude_if_exists 'mendflow.conf'\n`);
  // Renamed when complete: an initdb that was killed leaves only a draft.
  renameSync(draft, place.dataDir);
};

const writeSettings = (place: Place, port: number): void => {
  const settings = [
    `port = ${port}`,
    `listen_addresses = '127.0.0.1'`,
    // No socket: paths of sockets end at 107 bytes, folders of people do not.
    `unix_socket_directories = ''`,
    'max_connections = 100',
    'fsync = on',
    'synchronous_commit = on',
    'full_page_writes = on',
    'jit = off',
    `lc_messages = 'C'`,
    `timezone = 'UTC'`,
    `log_timezone = 'UTC'`,
    // An error's message quotes values (`invalid input syntax for type integer: "…"`), as do its detail, context and statement: who caused it gets them,
    // the log does not. What the server says of itself is above that level. No setting of a user's or a session's may turn one on: see createRole.
    'log_min_messages = log',
    'log_min_error_statement = panic',
    'log_error_verbosity = terse',
    'log_parameter_max_length = 0',
    'log_parameter_max_length_on_error = 0',
    `log_statement = 'none'`,
    'log_min_duration_statement = -1',
    'log_min_duration_sample = -1',
    'log_lock_waits = off',
    'log_recovery_conflict_waits = off',
    'log_duration = off',
  ];
  const file = join(place.dataDir, 'mendflow.conf');
  writeFileSync(file, `${settings.join('\n')}\n`, { mode: 0o600 });
  if (place.user !== undefined) chownSync(file, place.user.uid, place.user.gid);
};

/** Starts the server of an existing data folder in which none lives, on the wanted port if it is free. */
export const startServer = async (
  place: Place,
  wanted: number | undefined,
): Promise<{ id: ProcessId; port: number }> => {
  const until = Date.now() + 90_000;
  for (let attempt = 1; ; attempt++) {
    const [port = 0] = await freePorts([wanted], attempt === 1 ? 2000 : 0);
    writeSettings(place, port);
    // No postmaster lives here (asked under the lock), but a zombie or another program with its old pid would make Postgres refuse to start.
    // Backends that survived are still found by their shared memory, whose key is the folder's inode.
    rmSync(join(place.dataDir, 'postmaster.pid'), { force: true });
    const args = ['start', '-w', '-t', '80', '-s', '-D', place.dataDir, '-l', place.logFile];
    const said = await run(join(place.binDir, 'pg_ctl'), args, {
      as: place.user,
      env: bareEnv,
      cwd: place.home,
      timeoutMs: 90_000,
    });
    const up = await postmaster(place.dataDir);
    if (said.code === 0 && up !== undefined) return up;
    const log = lastLines(place.logFile, 8);
    // Two things pass by themselves: a port taken by another since it was seen free, and backends that outlive a killed server for a moment.
    const passes = /could not (bind|create any TCP)|Address already in use|pre-existing shared memory block/i.test(log);
    if (!passes || attempt === 20 || Date.now() >= until)
      throw notUp(place, said.output || `pg_ctl ended with code ${said.code}`);
    await sleep(250);
  }
};
