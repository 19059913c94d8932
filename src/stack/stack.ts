// What lives here: a whole stack in the background of one folder: up, down, status.
// Invariant: `up` twice is `up` once; `down` ends only processes that this folder's stack started; a kill -9 of anything is repaired by `up`.
// Apart from the servers and workers themselves, which also tests and stories use one by one.
import { accessSync, constants, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { CodedError } from '../model/failure.ts';
import { withLock } from './system/lock.ts';
import { postgresAnswers, runningPostgres, startPostgres, stopPostgres, type RunningPostgres } from './postgres.ts';
import { isAlive, isSuspended } from './system/process.ts';
import {
  endKeeper,
  type KeeperCommand,
  type KeeperOrder,
  readNotes,
  type KeeperNotes,
  type Loss,
  startKeeper,
} from './keeper/process.ts';
import { readStack, writeStack, type StackOwner, type StackState } from './state.ts';
import { ensureTemporalCli } from './temporal-cli.ts';
import { runningTemporal, startTemporal, stopTemporal, temporalAnswers } from './temporal.ts';
import type { WorkerCommand } from './worker-process.ts';

/** Where everything of a stack answers. */
export interface StackAddresses {
  /** The role `mendflow`; with its password, so for the environment of processes, not for people. */
  readonly databaseUrl: string;
  /** The superuser of an own server; the given address otherwise. */
  readonly adminUrl: string;
  readonly temporalAddress: string;
  /** Undefined where the server is not ours. */
  readonly temporalUiUrl?: string;
}

/** What to bring up. */
export interface StackOptions extends KeeperOrder {
  /** What starts again what ends by itself. Default: nobody, and a keeper that is there is ended; `stays`: whoever is there. */
  readonly keeper?: KeeperCommand | 'stays' | undefined;
  /** Runs after the servers answer and before workers start: migrations. */
  readonly beforeWorkers?: ((addresses: StackAddresses) => Promise<void>) | undefined;
  /** Told in words what is being started. */
  readonly onProgress?: ((line: string) => void) | undefined;
}

/** What runs in a folder now. */
export interface StackStatus {
  readonly dir: string;
  /** `partly`: something is missing or does not answer; `up` repairs it. */
  readonly state: 'up' | 'partly' | 'down';
  readonly postgres: ServerStatus;
  readonly temporal: ServerStatus & { readonly address?: string; readonly uiUrl?: string };
  readonly workersWanted: number;
  /** `told`: to end, by `up` or `down`. */
  readonly workers: readonly { name: string; pid: number; logFile: string; alive: boolean; told?: true }[];
  /** What lives and does nothing, since a signal stopped it: `up` does not mend this, SIGCONT does. */
  readonly suspended: readonly { what: string; pid: number }[];
  /** Names of living workers that were started before files of their project changed: `up` replaces them. */
  readonly older: readonly string[];
  readonly owner?: StackOwner;
  /** When all of it was gone, until somebody brought it up. */
  readonly losses: readonly Loss[];
  /** What starts again what ends by itself, and what it had to; undefined where nobody does. */
  readonly keeper?: Omit<KeeperNotes, 'losses'> & { readonly pid: number; readonly alive: boolean };
}

/** One server; `given` is not ours and is not asked. */
export interface ServerStatus {
  readonly state: 'up' | 'silent' | 'down' | 'given';
  readonly pid?: number;
  readonly port?: number;
}

const usable = (wanted: string): string => {
  const dir = resolve(wanted);
  try {
    mkdirSync(dir, { recursive: true });
    accessSync(dir, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new CodedError(
      'config_invalid',
      `The folder ${dir} cannot be written by this user (uid ${process.getuid?.() ?? '?'}); nothing was started. Run as its owner or choose another folder.`,
      { cause },
    );
  }
  return dir;
};

const ownTemporal = async (options: StackOptions, dir: string): Promise<{ address: string; uiUrl?: string }> => {
  const running = runningTemporal(dir);
  if (running === undefined) options.onProgress?.('Starting the Temporal dev server.');
  const cli = await ensureTemporalCli({
    explicit: options.temporalCli,
    cacheDir: options.cacheDir,
    onProgress: options.onProgress,
  });
  // The ports everybody knows, if nobody has them: then plain `temporal` commands find this server.
  return startTemporal({ dir, cli: cli.path, preferredPorts: { port: 7233, uiPort: 8233 } });
};

const servers = async (options: StackOptions, dir: string): Promise<StackAddresses> => {
  const startDatabase = async (): Promise<RunningPostgres> => {
    if (options.databaseUrl !== undefined) await stopPostgres(dir);
    else if ((await runningPostgres(dir)) === undefined) options.onProgress?.('Starting Postgres.');
    return startPostgres({ dir, databaseUrl: options.databaseUrl, cacheDir: options.cacheDir });
  };
  const startServer = async (): Promise<{ address: string; uiUrl?: string }> => {
    if (options.temporalAddress === undefined) return ownTemporal(options, dir);
    await stopTemporal(dir);
    return { address: options.temporalAddress };
  };
  // Both are waited for even if one fails: a half-started server must not be left behind by a process that ends.
  const [database, server] = await Promise.allSettled([startDatabase(), startServer()]);
  if (database.status === 'rejected') throw database.reason;
  if (server.status === 'rejected') throw server.reason;
  return {
    databaseUrl: database.value.url,
    adminUrl: database.value.adminUrl,
    temporalAddress: server.value.address,
    ...(server.value.uiUrl === undefined ? {} : { temporalUiUrl: server.value.uiUrl }),
  };
};

/** Workers of one copy of the package over the runs of another would work them with other code, and nobody would have asked for it. */
const refuseOtherOwner = (dir: string, { owner }: StackOptions): void => {
  const state = readStack(dir);
  const there = state?.owner;
  if (owner === undefined || there === undefined) return;
  if (there.package === owner.package && there.project === owner.project) return;
  const alive = state!.workers.filter((worker) => isAlive(worker.process)).length;
  if (alive === 0) return;
  const words = (one: StackOwner): string =>
    `the project in ${one.project} with the package in ${one.package} (${one.version})`;
  throw new CodedError(
    'config_invalid',
    `The stack in ${dir} has ${alive} worker${alive === 1 ? '' : 's'} of ${words(there)}. This command is of ${words(owner)}. Nothing was started or ended. Run the command of that project, or end its workers first with \`mendflow stack down\`, which keeps all data.`,
  );
};

const keeperUp = async (options: StackOptions, dir: string, workers: string): Promise<void> => {
  const { keeper, beforeWorkers: _before, onProgress: _progress, ...rest } = options;
  if (keeper === 'stays') return;
  const { keeper: before, ...state } = readStack(dir)!;
  if (keeper === undefined) {
    await endKeeper(before);
    writeStack(dir, state);
    return;
  }
  await startKeeper(keeper, { order: { ...rest, dir }, workers }, before, (started) =>
    writeStack(dir, { ...state, keeper: started }),
  );
};

/**
 * Brings up what is missing in `dir` and leaves it running in the background: Postgres, Temporal, workers. Workers whose command, addresses,
 * MENDFLOW_ and TEMPORAL_ settings or files of the project changed are replaced. Safe to call at the same time from several processes. Throws `CodedError` with the log of what did not come up.
 */
export const stackUp = async (options: StackOptions): Promise<StackAddresses> => {
  const dir = usable(options.dir);
  return withLock(
    dir,
    'stack',
    async () => {
      refuseOtherOwner(dir, options);
      const { noteLoss } = await import('./lost.ts');
      await noteLoss(dir);
      const addresses = await servers(options, dir);
      await options.beforeWorkers?.(addresses);
      // Whoever only asks about a stack loads nothing for it.
      const { workersUp } = await import('./workers.ts');
      const workers = await workersUp(options, dir, addresses);
      await keeperUp(options, dir, workers);
      return addresses;
    },
    { waitMs: 240_000, doing: 'up' },
  );
};

/** What of an order does not live. */
export interface MissingPart {
  readonly what: string;
  readonly logFile: string;
  /** False for a worker that was told to end, or that is in the books no more: nobody's death, however it went on. */
  readonly died: boolean;
}

export const missingParts = async (
  order: Pick<StackOptions, 'dir' | 'databaseUrl' | 'temporalAddress' | 'workers'>,
): Promise<MissingPart[]> => {
  const { dir } = order;
  const log = (name: string): string => join(dir, 'logs', `${name}.log`);
  const known = readStack(dir)?.workers ?? [];
  const alive = known.filter((worker) => isAlive(worker.process)).map(({ name }) => name);
  // Read anew after they were looked at: whoever was told to end was marked before it ended.
  const untold = (readStack(dir)?.workers ?? []).filter(({ told }) => told !== true).map((one) => one.process.pid);
  const died = known
    .filter(({ name, process }) => !alive.includes(name) && untold.includes(process.pid))
    .map(({ name }) => name);
  const names = Array.from({ length: order.workers }, (_, index) => `worker-${index + 1}`);
  const gone = names.filter((name) => !alive.includes(name)).slice(0, Math.max(0, order.workers - alive.length));
  return [
    ...(order.databaseUrl === undefined && (await runningPostgres(dir)) === undefined
      ? [{ what: 'Postgres', logFile: log('postgres'), died: true }]
      : []),
    ...(order.temporalAddress === undefined && runningTemporal(dir) === undefined
      ? [{ what: 'Temporal', logFile: log('temporal'), died: true }]
      : []),
    ...gone.map((name) => ({ what: name, logFile: log(name), died: died.includes(name) })),
  ];
};

/** What `up` was told last, and what the workers of then had as settings of the project; whatever has become of them. */
export const toldBefore = (dir: string): { workers: number | undefined; project: WorkerCommand['settings'] } => {
  const { workersTold, settings } = readStack(resolve(dir)) ?? {};
  return { workers: workersTold, project: settings?.project };
};

/** Whether the stack knows this process as one of its workers. */
export const isInBooks = (dir: string, pid: number): boolean =>
  readStack(dir)?.workers.some((worker) => worker.process.pid === pid) === true;

/** How many `up` was told last, be it done or interrupted. */
export const workersWanted = (dir: string): number => readStack(dir)?.workersWanted ?? 0;

/** Whether this process is the keeper of the stack. */
export const inBooksAsKeeper = (dir: string, pid: number): boolean => readStack(dir)?.keeper?.process.pid === pid;

/** Ends everything of the folder's stack: workers drain first, then the servers stop. Keeps all data. Says how many processes were ended. */
export const stackDown = async (options: { dir: string; onProgress?: (line: string) => void }): Promise<number> => {
  const dir = usable(options.dir);
  // Before the lock is taken: a keeper that repairs would hold it for as long as that takes.
  await endKeeper(readStack(dir)?.keeper);
  return withLock(
    dir,
    'stack',
    async () => {
      // Whoever only asks about a stack loads nothing for it.
      const { closeBooks, endWorkers, writeIfRoom } = await import('./ending.ts');
      const state = readStack(dir);
      await endKeeper(state?.keeper);
      const workers = (state?.workers ?? []).filter((worker) => isAlive(worker.process));
      const own = [await runningPostgres(dir), runningTemporal(dir)].filter((server) => server !== undefined);
      if (workers.length > 0) options.onProgress?.(`Waiting for ${workers.length} worker(s) to finish what they hold.`);
      if (state !== undefined) await endWorkers(dir, { ...state, ended: true }, workers, writeIfRoom);
      await Promise.all([stopPostgres(dir), stopTemporal(dir)]);
      if (state !== undefined) closeBooks(dir, state);
      return workers.length + own.length;
    },
    { waitMs: 240_000, doing: 'down' },
  );
};

/** The addresses of the folder's own servers; each is there for itself while its server lives, so that one stays known while the other is away. */
export const serverAddresses = async (dir: string): Promise<Partial<StackAddresses>> => {
  const database = await runningPostgres(dir);
  const server = runningTemporal(dir);
  return {
    ...(database === undefined ? {} : { databaseUrl: database.url, adminUrl: database.adminUrl }),
    ...(server === undefined ? {} : { temporalAddress: server.address }),
    ...(server?.uiUrl === undefined ? {} : { temporalUiUrl: server.uiUrl }),
  };
};

/** The addresses of a stack that runs with servers of its own; undefined when one of them does not run or is not ours. */
export const stackAddresses = async (dir: string): Promise<StackAddresses | undefined> => {
  const { databaseUrl, adminUrl, temporalAddress, ...more } = await serverAddresses(dir);
  if (databaseUrl === undefined || adminUrl === undefined || temporalAddress === undefined) return undefined;
  return { databaseUrl, adminUrl, temporalAddress, ...more };
};

/** The workers that `up` left in the folder, and whether each still lives. Asks no server. */
export const stackWorkers = (dir: string): StackStatus['workers'] =>
  (readStack(resolve(dir))?.workers ?? []).map(({ name, process, logFile, told }) => ({
    name,
    pid: process.pid,
    logFile,
    alive: isAlive(process),
    ...(told === undefined ? {} : { told }),
  }));

const olderIn = async (state: StackState | undefined): Promise<string[]> => {
  const workers = (state?.workers ?? []).filter(({ code }) => code !== undefined);
  if (workers.length === 0) return [];
  const { olderWorkers } = await import('./code.ts');
  return olderWorkers(workers).map(({ name }) => name);
};

/** What runs in the folder now. Starts and changes nothing. */
export const stackStatus = async (options: { dir: string }): Promise<StackStatus> => {
  const dir = resolve(options.dir);
  const state = readStack(dir);
  const database = await runningPostgres(dir);
  const server = runningTemporal(dir);
  const [databaseAnswers, serverAnswers] = await Promise.all([
    database !== undefined && postgresAnswers(database.url),
    server !== undefined && temporalAnswers(server.address),
  ]);
  const word = (given: boolean, runs: boolean, answers: boolean): ServerStatus['state'] =>
    runs ? (answers ? 'up' : 'silent') : given ? 'given' : 'down';
  const postgres: ServerStatus = {
    state: word(state?.postgres === 'given', database !== undefined, databaseAnswers),
    ...(database === undefined ? {} : { pid: database.process.pid, port: database.port }),
  };
  const address = server?.address ?? state?.temporalAddress;
  const temporal: StackStatus['temporal'] = {
    state: word(state?.temporal === 'given', server !== undefined, serverAnswers),
    ...(server === undefined ? {} : { pid: server.process.pid, port: Number(server.address.split(':')[1]) }),
    ...(address === undefined ? {} : { address }),
    ...(server?.uiUrl === undefined ? {} : { uiUrl: server.uiUrl }),
  };
  const { losses = [], ...notes } = readNotes(dir);
  const workers = stackWorkers(dir);
  const workersWanted = state?.workersWanted ?? 0;
  const living = workers.filter((worker) => worker.alive).length;
  const good = (one: ServerStatus): boolean => one.state === 'up' || one.state === 'given';
  const nothing = database === undefined && server === undefined && living === 0;
  const { keeper, owner } = state ?? {};
  const kept = keeper === undefined || isAlive(keeper.process);
  const suspended = [
    ...(database === undefined ? [] : [{ what: 'Postgres', pid: database.process.pid }]),
    ...(server === undefined ? [] : [{ what: 'Temporal', pid: server.process.pid }]),
    ...workers.filter(({ alive }) => alive).map(({ name, pid }) => ({ what: name, pid })),
    ...(keeper !== undefined && kept ? [{ what: 'keeper', pid: keeper.process.pid }] : []),
  ].filter(({ pid }) => isSuspended(pid));
  const complete = good(postgres) && good(temporal) && living >= workersWanted && kept && suspended.length === 0;
  return {
    dir,
    state: nothing ? 'down' : complete ? 'up' : 'partly',
    postgres,
    temporal,
    workersWanted,
    workers,
    suspended,
    older: await olderIn(state),
    losses,
    ...(owner === undefined ? {} : { owner }),
    ...(keeper === undefined ? {} : { keeper: { ...notes, pid: keeper.process.pid, alive: kept } }),
  };
};
