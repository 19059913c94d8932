// What lives here: a worker process that lives as long as the terminal it was started from, and how what it says is shown.
// Invariant: it is up only when it says so itself; stopping it waits for what it holds.
// Apart from the stack's workers, which run in the background with a log file.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { WorkerCommand } from '../../stack/index.ts';
import { escaped } from './terminal.ts';

/** What the worker logs once it polls. */
const READY_TEXT = 'Worker is up.';
const WARN = 40;
const ERROR = 50;
/** Longer than a worker's own 45 s of grace. */
const PATIENCE_MS = 50_000;

export interface DevWorker {
  readonly pid: number | undefined;
  /** True once it polls; false if it ended before. */
  readonly up: Promise<boolean>;
  readonly ended: Promise<void>;
  /** SIGTERM, and SIGKILL if it has not finished what it holds within the worker's own grace. */
  stop(): Promise<void>;
}

/** Starts one. `say` gets each line for people: what the worker could not start for, warnings and errors; the rest is left out. */
export function startDevWorker({ command, args, env, cwd }: WorkerCommand, say: (line: string) => void): DevWorker {
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let ready = (): void => undefined;
  const isReady = new Promise<true>((resolve) => {
    ready = () => resolve(true);
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const entry = entryOf(line);
    if (entry?.msg === READY_TEXT) ready();
    else if (entry === undefined || isForPeople(entry)) say(entry === undefined ? escaped(line) : shown(entry));
  });
  createInterface({ input: child.stderr }).on('line', (line) => say(escaped(line)));
  const ended = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      say(`The worker could not be started: ${error.message}`);
      resolve();
    });
    child.once('close', () => resolve());
  });
  return {
    pid: child.pid,
    up: Promise.race([isReady, ended.then(() => false)]),
    ended,
    stop: () => stopped(child, ended),
  };
}

async function stopped(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  await ended;
  clearTimeout(timer);
}

interface Entry {
  readonly level: number;
  readonly msg: string;
  readonly run?: unknown;
  readonly sdkComponent?: unknown;
}

/** The SDK warns of every failed attempt a second time, and of healing workers that serve no workflows, as they should. */
const isForPeople = ({ level, sdkComponent }: Entry): boolean =>
  level >= ERROR || (level >= WARN && sdkComponent !== 'worker');

function entryOf(line: string): Entry | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value = JSON.parse(line) as Partial<Entry>;
    return typeof value.level === 'number' && typeof value.msg === 'string' ? (value as Entry) : undefined;
  } catch {
    return undefined; // A line of the user's own that only begins like JSON: shown as it is.
  }
}

const shown = ({ level, msg, run }: Entry): string =>
  `${level >= ERROR ? 'ERROR' : 'WARN '} ${typeof run === 'string' ? `${escaped(run)}: ` : ''}${escaped(msg)}`;
