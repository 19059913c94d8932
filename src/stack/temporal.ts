// What lives here: one Temporal dev server in one folder: started with the measured settings, adopted, stopped and waited for.
// Invariant: two servers never work on one database file, and a server is called up only when it answers and knows our search attributes.
// Apart because a given TEMPORAL_ADDRESS replaces all of it.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '@temporalio/client';
import { searchAttributes, typeWord } from '../engine/search-attributes.ts';
import { CodedError } from '../model/failure.ts';
import { withLock } from './system/lock.ts';
import { freePorts } from './system/ports.ts';
import { end, isAlive, lastLines, startDetached, type ProcessId } from './system/process.ts';

/** A dev server that answers. */
export interface RunningTemporal {
  /** `127.0.0.1:7233` */
  readonly address: string;
  /** Undefined when headless. */
  readonly uiUrl?: string;
  readonly pid: number;
  readonly logFile: string;
  /** Ends the server and waits until it is gone; a restart before that would meet a locked database file. */
  stop(): Promise<void>;
}

/** Where and how. */
export interface TemporalOptions {
  readonly dir: string;
  /** Path of the Temporal command line; see `findTemporalCli`. */
  readonly cli: string;
  /** Wanted ports; others are taken when they are in use. Default: those of last time, else any. */
  readonly port?: number | undefined;
  readonly uiPort?: number | undefined;
  /** Ports to try on the very first start of a folder. */
  readonly preferredPorts?: { readonly port: number; readonly uiPort: number } | undefined;
  /** Keep runs in a file (default) or in memory. */
  readonly dbFile?: boolean;
  /** Without the Web UI. Default false. */
  readonly headless?: boolean;
}

// Measured on one machine of 2 cores: a step takes 10 ms instead of 51, a timer 10 ms instead of 1 s. Not for a shared cluster.
const dynamicConfig = [
  'history.transferProcessorMaxPollRPS=2000',
  'history.timerProcessorMaxPollRPS=2000',
  'history.visibilityProcessorMaxPollRPS=2000',
  'history.timerProcessorMaxTimeShift="10ms"',
  'frontend.WorkflowPauseEnabled=true',
];

interface State {
  readonly process: ProcessId;
  readonly port: number;
  readonly uiPort?: number;
}

const stateFileOf = (dir: string): string => join(dir, 'temporal.json');

const readState = (file: string): State | undefined =>
  existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as State) : undefined;

const writeState = (file: string, state: State): void => {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(state)}\n`);
  renameSync(draft, file);
};

const flagsOf = (options: TemporalOptions, dir: string, port: number, uiPort: number): string[] => {
  const flags = ['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port), '--log-level', 'warn'];
  if (options.headless === true) flags.push('--headless');
  else flags.push('--ui-port', String(uiPort), '--ui-disable-news-fetch');
  if (options.dbFile !== false) {
    flags.push('--db-filename', join(dir, 'temporal.db'));
    flags.push('--sqlite-pragma', 'journal_mode=wal', '--sqlite-pragma', 'synchronous=1');
  }
  for (const value of dynamicConfig) flags.push('--dynamic-config-value', value);
  for (const [name, type] of Object.entries(searchAttributes))
    flags.push('--search-attribute', `${name}=${typeWord(type)}`);
  return flags;
};

/** Adds what is missing: a kept database file ignores attributes named by flags. */
const reconcile = async (connection: Connection): Promise<void> => {
  const known = await connection.operatorService.listSearchAttributes({ namespace: 'default' });
  const missing = Object.entries(searchAttributes).filter(([name]) => known.customAttributes[name] === undefined);
  if (missing.length === 0) return;
  await connection.operatorService.addSearchAttributes({
    namespace: 'default',
    searchAttributes: Object.fromEntries(missing),
  });
};

/** One look: throws unless the namespace answers within 5 s; `then` may ask more within the same time. */
const answersOnce = async (address: string, then?: (connection: Connection) => Promise<void>): Promise<void> => {
  // Whoever only wants to know where the server is must not pay for Temporal's client.
  const { Connection } = await import('@temporalio/client');
  const connection = await Connection.connect({ address, connectTimeout: 2000 });
  try {
    await connection.withDeadline(Date.now() + 5000, async () => {
      await connection.workflowService.describeNamespace({ namespace: 'default' });
      await then?.(connection);
    });
  } finally {
    await connection.close();
  }
};

/** Whether this very server serves: at its port another one may answer, which was faster by a moment. */
const announced = (logFile: string): boolean => readFileSync(logFile).includes('Temporal Server:');

/** Looks until the server answers, the process ends or `waitMs` have passed; says which. */
const waitForAnswer = async (
  state: State,
  logFile: string,
  waitMs: number,
): Promise<{ outcome: 'up' | 'ended' | 'silent'; why: string }> => {
  const until = Date.now() + waitMs;
  let why = 'it did not say that it serves';
  for (;;) {
    if (!isAlive(state.process)) return { outcome: 'ended', why };
    if (announced(logFile)) {
      try {
        await answersOnce(`127.0.0.1:${state.port}`, reconcile);
        return { outcome: 'up', why };
      } catch (error) {
        why = (error as Error).message; // Not yet, or never: the process and the clock decide.
      }
    }
    if (Date.now() >= until) return { outcome: 'silent', why };
    await sleep(50);
  }
};

/** The lines that say what went wrong come before a long trace; without such lines, the end of the log. */
const telling = (logFile: string): string => {
  const lines = readFileSync(logFile, 'utf8').split('\n');
  const wrong = lines.filter((line) => /level=(ERROR|FATAL)|^(error|panic|Error)/.test(line)).slice(0, 4);
  return wrong.length === 0 ? lastLines(logFile) : wrong.map((line) => `  ${line.slice(0, 300)}`).join('\n');
};

/** Each server begins a new log; the one before is kept, so that a folder never holds more than two. */
const newLog = (logFile: string): void => {
  if (existsSync(logFile)) renameSync(logFile, `${logFile}.before`);
};

const halfMadeMark = (dir: string): string => join(dir, 'temporal.db.making');

/**
 * The server makes its tables only where there is no file. One that was killed at that leaves a file without them, which no later start repairs;
 * nothing can be in it, because the mark stands until a server has answered for the first time.
 */
const dropHalfMade = (dir: string): void => {
  const file = join(dir, 'temporal.db');
  if (existsSync(halfMadeMark(dir))) for (const end of ['', '-wal', '-shm']) rmSync(`${file}${end}`, { force: true });
  if (!existsSync(file)) writeFileSync(halfMadeMark(dir), '');
};

const startNew = async (options: TemporalOptions, dir: string, stateFile: string, logFile: string): Promise<State> => {
  const last = readState(stateFile);
  const first = options.preferredPorts;
  const wanted = [options.port ?? last?.port ?? first?.port, options.uiPort ?? last?.uiPort ?? first?.uiPort];
  for (let attempt = 1; ; attempt++) {
    const [port = 0, uiPort = 0] = await freePorts(wanted, attempt === 1 && last !== undefined ? 2000 : 0);
    // Its own HOME and nothing else: the caller's TEMPORAL_* and profiles must not reach the server.
    const env = { HOME: dir, PATH: '/usr/local/bin:/usr/bin:/bin', TZ: 'UTC' };
    newLog(logFile);
    if (options.dbFile !== false) dropHalfMade(dir);
    // Histories are for the owner only, so its database file is made under a closed umask.
    const args = ['-c', 'umask 077; exec "$0" "$@"', options.cli, ...flagsOf(options, dir, port, uiPort)];
    const id = await startDetached('/bin/sh', args, { cwd: dir, env, logFile });
    const state: State = { process: id, port, ...(options.headless === true ? {} : { uiPort }) };
    writeState(stateFile, state);
    const { outcome, why } = await waitForAnswer(state, logFile, 45_000);
    if (outcome === 'up') {
      rmSync(halfMadeMark(dir), { force: true });
      return state;
    }
    await end(id, 'SIGTERM', 5000);
    // Two things pass by themselves: a port taken since it was seen free, and the database file of a server that is just ending.
    const passes = /address already in use|SQLITE_BUSY|database is locked/i.test(readFileSync(logFile, 'utf8'));
    if (!passes || attempt === 5) {
      const how = outcome === 'ended' ? 'ended while starting' : `did not answer for 45 s (${why})`;
      throw new CodedError(
        'command_failed',
        `The Temporal dev server ${how} in ${dir}; its data is untouched. ${logFile} says:\n${telling(logFile)}`,
      );
    }
    await sleep(500);
  }
};

const startOwn = async (options: TemporalOptions, dir: string): Promise<RunningTemporal> => {
  const stateFile = stateFileOf(dir);
  const logFile = join(dir, 'logs', 'temporal.log');
  mkdirSync(join(dir, 'logs'), { recursive: true });
  let state = readState(stateFile);
  if (state !== undefined && isAlive(state.process)) {
    // A server that lives and does not answer is stopped (or hung); its database file is free only when it is gone.
    if ((await waitForAnswer(state, logFile, 10_000)).outcome !== 'up') {
      await end(state.process, 'SIGTERM', 5000);
      state = await startNew(options, dir, stateFile, logFile);
    }
  } else {
    state = await startNew(options, dir, stateFile, logFile);
  }
  const { process: id, port, uiPort } = state;
  return {
    address: `127.0.0.1:${port}`,
    ...(uiPort === undefined ? {} : { uiUrl: `http://127.0.0.1:${uiPort}` }),
    pid: id.pid,
    logFile,
    stop: () => end(id, 'SIGTERM', 15_000),
  };
};

/**
 * Starts a dev server in `dir` or adopts the one that runs there. Safe to call at the same time from several processes.
 * Throws `command_failed` with the end of the server's log.
 */
export const startTemporal = (options: TemporalOptions): Promise<RunningTemporal> => {
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  return withLock(dir, 'temporal', () => startOwn(options, dir));
};

/** The server that lives in this folder now, without starting or changing anything; undefined when none does. */
export const runningTemporal = (
  dir: string,
): { process: ProcessId; address: string; uiUrl: string | undefined } | undefined => {
  const state = readState(stateFileOf(resolve(dir)));
  if (state === undefined || !isAlive(state.process)) return undefined;
  return {
    process: state.process,
    address: `127.0.0.1:${state.port}`,
    uiUrl: state.uiPort === undefined ? undefined : `http://127.0.0.1:${state.uiPort}`,
  };
};

/** Ends the server of this folder, if one lives, and waits until it is gone. */
export const stopTemporal = (dir: string): Promise<void> =>
  withLock(resolve(dir), 'temporal', async () => {
    const up = runningTemporal(dir);
    if (up !== undefined) await end(up.process, 'SIGTERM', 15_000);
  });

/** Whether a server answers at this address within 5 s. */
export const temporalAnswers = (address: string): Promise<boolean> =>
  answersOnce(address).then(
    () => true,
    () => false,
  );
