// What lives here: one worker as a background process.
// Invariant: it leads a process group of its own, so Ctrl-C at whoever started it does not reach it and nothing it started outlives its end.
// Apart from stack.ts because stories and tests start, kill and count workers themselves.
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '../model/failure.ts';
import { end, isAlive, lastLines, signal, startDetached, waitForEnd, type ProcessId } from './system/process.ts';

/** What to run as a worker. */
export interface WorkerCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment of the process; nothing is inherited beside it. */
  readonly env: Readonly<Record<string, string>>;
  /** What else makes it another worker, such as the address of an upstream, by name and in words that may be shown. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** Folder of the project that it loads: with other files there it is another worker. */
  readonly project?: string | undefined;
  /** Default: the folder of the stack. */
  readonly cwd?: string | undefined;
  /** Text that its log shows once it polls; without it a worker that lives for a second counts as up. */
  readonly readyText?: string | undefined;
}

/**
 * How Node is started for a worker. Chunks are short-lived megabytes in two threads: with the defaults of V8 and of the C library
 * their leftovers grow to 330 MiB over some millions of lines; so they stay below 260, at the same speed. Names are looked up by threads,
 * and with four of them one hung name server would stop the calls of all other upstreams.
 */
export const leanNode = {
  args: ['--max-semi-space-size=2'],
  env: { MALLOC_ARENA_MAX: '2', UV_THREADPOOL_SIZE: '64' },
} as const;

/** A worker that was started here. */
export interface WorkerProcess {
  readonly name: string;
  readonly pid: number;
  readonly process: ProcessId;
  readonly logFile: string;
  isAlive(): boolean;
  /** kill -9: it gets no chance to say goodbye. Waits until it is gone. */
  kill(): Promise<void>;
  /** SIGTERM, `waitMs` (default 45 s, more than a worker's own grace) to drain, then SIGKILL. */
  stop(waitMs?: number): Promise<void>;
}

/** How long a stopping worker may drain before it is killed; a worker's own grace is 30 s. */
const drainMs = 45_000;

/** Each drains first. */
export const stopWorkers = (workers: readonly { readonly process: ProcessId }[]): Promise<unknown> =>
  Promise.all(workers.map((worker) => end(worker.process, 'SIGTERM', drainMs)));

const saysReady = (logFile: string, from: number, text: string): boolean =>
  readFileSync(logFile).subarray(from).includes(text);

const endedWhileStarting = (name: string, logFile: string): string =>
  `${name} ended while starting. ${logFile} ends with:\n${lastLines(logFile)}`;

/** Waits until the worker is up; throws with the end of its log when it ended or stayed silent for `waitMs`. */
const waitUntilUp = async (
  name: string,
  id: ProcessId,
  logFile: string,
  from: number,
  text: string | undefined,
  waitMs: number,
): Promise<void> => {
  const startedMs = Date.now();
  for (;;) {
    const livedMs = Date.now() - startedMs;
    if (!isAlive(id)) {
      throw new CodedError('command_failed', endedWhileStarting(name, logFile));
    }
    if (text === undefined ? livedMs > 1000 : saysReady(logFile, from, text)) return;
    if (livedMs > waitMs) {
      const seconds = Math.round(waitMs / 1000);
      throw new CodedError(
        'command_failed',
        `${name} (process ${id.pid}) was not ready after ${seconds} s and was ended. ${logFile} ends with:\n${lastLines(logFile)}`,
      );
    }
    await sleep(50);
  }
};

/**
 * Starts a worker with its log in `<dir>/logs/<name>.log` and waits until it is up (at most `waitMs`, default 60 s).
 * `onSpawn` is told the process before the wait, so that whoever keeps books never loses one. Throws `command_failed` or `command_missing`.
 */
export const startWorkerProcess = async (
  worker: WorkerCommand & { dir: string; name: string },
  options: { waitMs?: number; onSpawn?: (id: ProcessId, logFile: string) => void } = {},
): Promise<WorkerProcess> => {
  const dir = resolve(worker.dir);
  const logFile = join(dir, 'logs', `${worker.name}.log`);
  mkdirSync(join(dir, 'logs'), { recursive: true });
  const from = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  let id: ProcessId;
  try {
    id = await startDetached(worker.command, worker.args, { cwd: worker.cwd ?? dir, env: worker.env, logFile });
  } catch (cause) {
    throw new CodedError('command_missing', `${worker.name} could not be started: ${(cause as Error).message}`, {
      cause,
    });
  }
  options.onSpawn?.(id, logFile);
  try {
    await waitUntilUp(worker.name, id, logFile, from, worker.readyText, options.waitMs ?? 60_000);
  } catch (error) {
    await end(id, 'SIGTERM', 5000);
    throw error;
  }
  return {
    name: worker.name,
    pid: id.pid,
    process: id,
    logFile,
    isAlive: () => isAlive(id),
    kill: async () => {
      signal(id, 'SIGKILL');
      await waitForEnd(id, 5000);
    },
    stop: (waitMs = drainMs) => end(id, 'SIGTERM', waitMs),
  };
};
