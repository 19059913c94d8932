// What lives here: one Postgres server in one folder: made, started, adopted, brought back after a crash, stopped.
// Invariant: two servers never work on one data folder, no password stands outside the 0600 file, and what is handed out is no superuser.
// Apart because a given DATABASE_URL replaces all of it, and nothing else may know whether the server is ours.
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { CodedError } from '../model/failure.ts';
import { withLock } from './lock.ts';
import { freePorts } from './ports.ts';
import { findPostgres } from './postgres-binaries.ts';
import { end, identify, lastLines, run, type ProcessId, type RunAs } from './process.ts';
import { ownFolder, postgresUser, reachableFolder } from './unprivileged.ts';

/** A server that answers. */
export interface RunningPostgres {
  /** The non-superuser role `mendflow`, owner of the database `mendflow`; or the given address. */
  readonly url: string;
  /** The superuser, for tests and for creating databases; the given address where the server is not ours. */
  readonly adminUrl: string;
  readonly port: number;
  /** Undefined where the server is not ours. */
  readonly pid?: number;
  /** As the server tells it: `18.4`. */
  readonly version: string;
  readonly binDir?: string;
  readonly dataDir?: string;
  readonly logFile?: string;
  readonly kind: 'given' | 'embedded' | 'system';
  /** Stops the server and waits; `immediate` is a crash on purpose. Does nothing to a server that is not ours. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
}

/** Where and how. */
export interface PostgresOptions {
  /** Folder of the stack; everything of the server lies below it, if its user can reach it. */
  readonly dir: string;
  /** Use this server and start none. */
  readonly databaseUrl?: string | undefined;
  /** Wanted port; another free one is taken when it is in use. Default: the port of last time, else any. */
  readonly port?: number | undefined;
  /** Where programs are copied to when they cannot run in place. Default `<dir>/cache`. */
  readonly cacheDir?: string | undefined;
}

interface Secrets {
  readonly adminPassword: string;
  readonly password: string;
  readonly port?: number;
}

interface Place {
  readonly user: RunAs | undefined;
  readonly binDir: string;
  readonly kind: 'embedded' | 'system';
  readonly home: string;
  readonly dataDir: string;
  readonly logFile: string;
  readonly secretsFile: string;
}

// A bare environment: PGDATA, PGPORT or a library path of the caller must not reach the server.
const bareEnv = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' };

const urlOf = (user: string, password: string, port: number, database: string): string =>
  `postgresql://${user}:${password}@127.0.0.1:${port}/${database}`;

const adminUrlOf = (secrets: Secrets, port: number): string =>
  urlOf('postgres', secrets.adminPassword, port, 'postgres');

const readSecrets = (file: string): Secrets | undefined =>
  existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Secrets) : undefined;

const writeSecrets = (file: string, secrets: Secrets): void => {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(secrets)}\n`, { mode: 0o600 });
  renameSync(draft, file);
};

const notUp = (place: Place, what: string): CodedError =>
  new CodedError(
    'command_failed',
    `Postgres did not come up in ${place.dataDir}: ${what}\nIts data is untouched. ${place.logFile} ends with:\n${lastLines(place.logFile)}`,
  );

/** Asks the server until it answers or `waitMs` have passed; returns its version. */
const answered = async (url: string, waitMs: number): Promise<string> => {
  const until = Date.now() + waitMs;
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000, query_timeout: 10_000 });
    client.on('error', () => undefined); // The same loss is seen by the query that runs.
    try {
      await client.connect();
      const { rows } = await client.query<{ server_version: string }>('show server_version');
      return (rows[0]?.server_version ?? 'unknown').split(' ')[0] ?? 'unknown';
    } catch (error) {
      const code = (error as { code?: string }).code ?? '';
      // Starting, shutting down, refused: time heals these. A wrong password or address it does not.
      if (Date.now() >= until || !['57P03', 'ECONNREFUSED', 'ECONNRESET'].includes(code)) throw error;
      await sleep(100);
    } finally {
      await client.end().catch(() => undefined); // Closing what never opened says nothing new.
    }
  }
};

const useGiven = async (url: string): Promise<RunningPostgres> => {
  try {
    const version = await answered(url, 10_000);
    const port = Number(new URL(url).port || 5432);
    return { url, adminUrl: url, port, version, kind: 'given', stop: () => Promise.resolve() };
  } catch (cause) {
    throw new CodedError(
      'pg_unreachable',
      `The database given by DATABASE_URL does not answer (${(cause as Error).message}); nothing was started in its place. Check the address, or unset DATABASE_URL to let the stack bring its own.`,
      { cause },
    );
  }
};

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
const postmaster = async (dataDir: string): Promise<{ id: ProcessId; port: number } | undefined> => {
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

const createCluster = async (place: Place, secrets: Secrets): Promise<void> => {
  const draft = `${place.dataDir}.new`;
  const passwordFile = join(place.home, 'initdb-password');
  rmSync(draft, { recursive: true, force: true });
  writeFileSync(passwordFile, `${secrets.adminPassword}\n`, { mode: 0o600 });
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
    // A statement or a detail would quote values of records.
    'log_min_error_statement = panic',
    'log_error_verbosity = terse',
  ];
  const file = join(place.dataDir, 'mendflow.conf');
  writeFileSync(file, `${settings.join('\n')}\n`, { mode: 0o600 });
  if (place.user !== undefined) chownSync(file, place.user.uid, place.user.gid);
};

const startServer = async (place: Place, wanted: number | undefined): Promise<{ id: ProcessId; port: number }> => {
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

/** Creates role and database where they are missing; the second time it finds them. */
const createRole = async (secrets: Secrets, port: number): Promise<void> => {
  const client = new pg.Client({ connectionString: adminUrlOf(secrets, port), query_timeout: 60_000 });
  client.on('error', () => undefined); // The same loss is seen by the query that runs.
  await client.connect();
  try {
    const password = client.escapeLiteral(secrets.password);
    const role = await client.query(`select 1 from pg_roles where rolname = 'mendflow'`);
    await client.query(
      `${role.rowCount === 0 ? 'create' : 'alter'} role mendflow login nosuperuser password ${password}`,
    );
    const database = await client.query(`select 1 from pg_database where datname = 'mendflow'`);
    if (database.rowCount === 0) await client.query('create database mendflow owner mendflow');
  } finally {
    await client.end();
  }
};

const placeOf = async (dir: string, cacheDir: string): Promise<Place> => {
  const user = await postgresUser();
  const { binDir, kind } = await findPostgres(cacheDir, user);
  const home = await reachableFolder(user, dir, 'postgres', '/var/lib/mendflow');
  ownFolder(user, home);
  const logFile = join(home, 'server.log');
  const shown = join(dir, 'logs', 'postgres.log');
  mkdirSync(join(dir, 'logs'), { recursive: true });
  rmSync(shown, { force: true });
  symlinkSync(logFile, shown);
  return { user, binDir, kind, home, dataDir: join(home, 'data'), logFile, secretsFile: join(dir, 'postgres.json') };
};

const startOwn = async (options: PostgresOptions): Promise<RunningPostgres> => {
  const dir = resolve(options.dir);
  const place = await placeOf(dir, resolve(options.cacheDir ?? join(dir, 'cache')));
  let secrets = readSecrets(place.secretsFile);
  if (secrets === undefined) {
    if (existsSync(place.dataDir)) {
      throw notUp(
        place,
        `${place.secretsFile} with its passwords is gone; restore ${basename(place.secretsFile)}, or remove ${place.dataDir} to begin anew`,
      );
    }
    secrets = { adminPassword: randomBytes(18).toString('base64url'), password: randomBytes(18).toString('base64url') };
    writeSecrets(place.secretsFile, secrets);
  }
  if (!existsSync(place.dataDir)) await createCluster(place, secrets);
  const up = (await postmaster(place.dataDir)) ?? (await startServer(place, options.port ?? secrets.port));
  const version = await answered(adminUrlOf(secrets, up.port), 60_000).catch((cause: unknown) => {
    throw notUp(place, `it runs as process ${up.id.pid} and does not answer (${(cause as Error).message})`);
  });
  if (secrets.port !== up.port) writeSecrets(place.secretsFile, { ...secrets, port: up.port });
  await createRole(secrets, up.port);
  return {
    url: urlOf('mendflow', secrets.password, up.port, 'mendflow'),
    adminUrl: adminUrlOf(secrets, up.port),
    port: up.port,
    pid: up.id.pid,
    version,
    binDir: place.binDir,
    dataDir: place.dataDir,
    logFile: place.logFile,
    kind: place.kind,
    // SIGINT is Postgres' fast shutdown, SIGQUIT its immediate one; SIGKILL would leave backends behind for a moment.
    stop: (mode = 'fast') => end(up.id, mode === 'fast' ? 'SIGINT' : 'SIGQUIT', 30_000),
  };
};

/**
 * Starts Postgres in `dir`, or adopts the one that runs there, or checks the given one. Safe to call at the same time from several processes.
 * Throws `command_missing` (no programs), `pg_unreachable` (given server) or `command_failed` with the end of the server's log.
 */
export const startPostgres = (options: PostgresOptions): Promise<RunningPostgres> => {
  if (options.databaseUrl !== undefined) return useGiven(options.databaseUrl);
  mkdirSync(options.dir, { recursive: true });
  return withLock(resolve(options.dir), 'postgres', () => startOwn(options));
};
