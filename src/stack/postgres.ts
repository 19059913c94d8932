// What lives here: one Postgres server in one folder: made, started, adopted, brought back after a crash, stopped.
// Invariant: two servers never work on one data folder, no password stands outside the 0600 file, and what is handed out is no superuser.
// Apart because a given DATABASE_URL replaces all of it, and nothing else may know whether the server is ours.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { CodedError } from '../model/failure.ts';
import { withLock } from './system/lock.ts';
import { findPostgres } from './postgres/binaries.ts';
import { createCluster, notUp, postmaster, startServer, type Place } from './postgres/cluster.ts';
import { ownFolder, postgresUser, reachableFolder } from './postgres/user.ts';
import { end, type ProcessId } from './system/process.ts';

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

/** Content of the 0600 file `<dir>/postgres.json`. */
interface Secrets {
  readonly adminPassword: string;
  readonly password: string;
  readonly dataDir: string;
  readonly kind: 'embedded' | 'system';
  readonly port?: number;
}

const urlOf = (user: string, password: string, port: number, database: string): string =>
  `postgresql://${user}:${password}@127.0.0.1:${port}/${database}`;

const adminUrlOf = (secrets: Secrets, port: number): string =>
  urlOf('postgres', secrets.adminPassword, port, 'postgres');

const readSecrets = (file: string): Secrets | undefined =>
  existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Secrets) : undefined;

const secretsFileOf = (dir: string): string => join(dir, 'postgres.json');

/** Where a stack writes: its folder, and that of its own Postgres, which lies elsewhere if the server's user cannot get in. */
export const foldersOf = (dir: string): string[] => {
  const dataDir = readSecrets(secretsFileOf(resolve(dir)))?.dataDir;
  return [resolve(dir), ...(dataDir === undefined ? [] : [dataDir])];
};

const writeSecrets = (file: string, secrets: Secrets): void => {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(secrets)}\n`, { mode: 0o600 });
  renameSync(draft, file);
};

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
    // The schema mendflow has the role's name, so without this "$user" would put users' own tables into it, unseen by any other role.
    await client.query(`alter role mendflow set search_path to public`);
    // What a function of a user's own says with RAISE LOG is made of records, too.
    await client.query(`alter role mendflow set log_min_messages to fatal`);
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
  return { user, binDir, kind, home, dataDir: join(home, 'data'), logFile };
};

const startOwn = async (options: PostgresOptions): Promise<RunningPostgres> => {
  const dir = resolve(options.dir);
  const place = await placeOf(dir, resolve(options.cacheDir ?? join(dir, 'cache')));
  const secretsFile = secretsFileOf(dir);
  let secrets = readSecrets(secretsFile);
  if (secrets === undefined) {
    if (existsSync(place.dataDir)) {
      throw notUp(
        place,
        `${secretsFile} with its passwords is gone; restore ${basename(secretsFile)}, or remove ${place.dataDir} to begin anew`,
      );
    }
    secrets = {
      adminPassword: randomBytes(18).toString('base64url'),
      password: randomBytes(18).toString('base64url'),
      dataDir: place.dataDir,
      kind: place.kind,
    };
    writeSecrets(secretsFile, secrets);
  }
  if (!existsSync(place.dataDir)) await createCluster(place, secrets.adminPassword);
  const up = (await postmaster(place.dataDir)) ?? (await startServer(place, options.port ?? secrets.port));
  const version = await answered(adminUrlOf(secrets, up.port), 60_000).catch((cause: unknown) => {
    throw notUp(place, `it runs as process ${up.id.pid} and does not answer (${(cause as Error).message})`);
  });
  if (secrets.port !== up.port) writeSecrets(secretsFile, { ...secrets, port: up.port });
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

/** The own server that lives in this folder now, without starting or changing anything; undefined when none does. */
export const runningPostgres = async (
  dir: string,
): Promise<
  { process: ProcessId; port: number; kind: 'embedded' | 'system'; url: string; adminUrl: string } | undefined
> => {
  const secrets = readSecrets(secretsFileOf(resolve(dir)));
  const up = secrets === undefined ? undefined : await postmaster(secrets.dataDir);
  if (secrets === undefined || up === undefined) return undefined;
  const url = urlOf('mendflow', secrets.password, up.port, 'mendflow');
  return { process: up.id, port: up.port, kind: secrets.kind, url, adminUrl: adminUrlOf(secrets, up.port) };
};

/** Ends the own server of this folder, if one lives, and waits until it is gone. */
export const stopPostgres = (dir: string): Promise<void> =>
  withLock(resolve(dir), 'postgres', async () => {
    const up = await runningPostgres(dir);
    if (up !== undefined) await end(up.process, 'SIGINT', 30_000);
  });

/** Whether a server answers at this address within about 5 s. */
export const postgresAnswers = (url: string): Promise<boolean> =>
  answered(url, 0).then(
    () => true,
    () => false,
  );
