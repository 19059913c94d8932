// What lives here: knowing, waiting for and ending processes of this machine by pid and start time.
// Invariant: a signal goes only to a process whose start time is the one that was written down; a reused pid is never touched.
// Apart because Postgres, the Temporal server, workers and the folder lock all ask the same three questions.
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process that can be told apart from a later one with the same pid. */
export interface ProcessId {
  readonly pid: number;
  /** Opaque: boot and start time of the process as the system tells it. */
  readonly startedAt: string;
}

/** The user that a command runs as; undefined means the user of this process. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

let bootId: string | undefined;
const boot = (): string => (bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().slice(0, 8));

interface Seen {
  /** As `ps` shows it: a letter, and of some systems more behind it. */
  readonly state: string;
  readonly startedAt: string;
}

const seenInProc = (pid: number): Seen | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces and parentheses itself, so fields are counted from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0]!, startedAt: `${boot()}:${fields[19]}` };
  } catch {
    return undefined; // No such process: the file is gone.
  }
};

const seenByPs = (pid: number): Seen | undefined => {
  try {
    const said = execFileSync('ps', ['-o', 'state=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      timeout: 5000,
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    const [, state, startedAt] = /^(\S+)\s+(.+)$/.exec(said) ?? [];
    return state === undefined ? undefined : { state, startedAt: startedAt! };
  } catch {
    return undefined; // ps ends with 1 when there is no such process.
  }
};

/** A zombie has ended; nothing but its exit code is left. */
const seen = (pid: number): Seen | undefined => {
  const found = process.platform === 'linux' ? seenInProc(pid) : seenByPs(pid);
  return found === undefined || /^[ZX]/.test(found.state) ? undefined : found;
};

/** Start time of a live process, or undefined when no live process has this pid. Zombies count as dead. */
export const startOf = (pid: number): string | undefined => seen(pid)?.startedAt;

/** Whether a signal has stopped the process with this pid: it lives, and does nothing until SIGCONT. */
export const isSuspended = (pid: number): boolean => seen(pid)?.state.startsWith('T') === true;

/** The process with this pid as it is now; undefined when it has already ended. */
export const identify = (pid: number): ProcessId | undefined => {
  const startedAt = startOf(pid);
  return startedAt === undefined ? undefined : { pid, startedAt };
};

/** Whether exactly this process still lives. */
export const isAlive = (id: ProcessId): boolean => startOf(id.pid) === id.startedAt;

/** Waits until the process has ended; false when it still lives after `waitMs`. */
export const waitForEnd = async (id: ProcessId, waitMs: number): Promise<boolean> => {
  const until = Date.now() + waitMs;
  while (isAlive(id)) {
    if (Date.now() >= until) return false;
    await sleep(process.platform === 'linux' ? 20 : 100);
  }
  return true;
};

/** Sends a signal to exactly this process; false when it has already ended. */
export const signal = (id: ProcessId, name: NodeJS.Signals): boolean => {
  if (!isAlive(id)) return false;
  try {
    process.kill(id.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
};

/** All processes of this stack lead a group of their own, so what they started goes with them. */
const killGroup = (id: ProcessId): void => {
  if (!isAlive(id)) return;
  try {
    process.kill(-id.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    signal(id, 'SIGKILL'); // It leads no group.
  }
};

/** Ends a process: the polite signal, `waitMs` of patience, then SIGKILL for its group. Returns when it is gone, or throws after 5 s more. */
export const end = async (id: ProcessId, polite: NodeJS.Signals, waitMs: number): Promise<void> => {
  if (!signal(id, polite)) return;
  if (await waitForEnd(id, waitMs)) return;
  killGroup(id);
  if (!(await waitForEnd(id, 5000))) throw new Error(`Process ${id.pid} is still there 5 s after SIGKILL.`);
};

/** The last lines of a log, indented, for an error message; a sentence when there are none. At most 16 KB are read. */
export const lastLines = (file: string, count = 12): string => {
  try {
    const fd = openSync(file, 'r');
    try {
      const { size } = fstatSync(fd);
      const buffer = Buffer.alloc(Math.min(size, 16_384));
      readSync(fd, buffer, 0, buffer.length, size - buffer.length);
      const lines = buffer.toString('utf8').trimEnd().split('\n').slice(-count);
      return lines.join('') === '' ? `  (${file} is empty)` : lines.map((line) => `  ${line}`).join('\n');
    } finally {
      closeSync(fd);
    }
  } catch {
    return `  (there is no log ${file})`;
  }
};

/**
 * Starts a command that outlives this process, with its output appended to a log file.
 * One that ends before anybody can look at it is like one that ends a moment later: it lives no more, and its log says why.
 */
export const startDetached = async (
  command: string,
  args: readonly string[],
  options: { cwd: string; env: Readonly<Record<string, string>>; logFile: string },
): Promise<ProcessId> => {
  const log = openSync(options.logFile, 'a', 0o600);
  try {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...options.env },
      detached: true,
      stdio: ['ignore', log, log],
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    const pid = child.pid ?? 0;
    return identify(pid) ?? { pid, startedAt: 'ended' };
  } finally {
    closeSync(log);
  }
};

/** Runs a command to its end and returns its exit code and joined output; a command that takes longer than `timeoutMs` is killed and has code 124. */
export const run = (
  command: string,
  args: readonly string[],
  options: { as?: RunAs | undefined; cwd?: string; env?: Readonly<Record<string, string>>; timeoutMs: number },
): Promise<{ code: number; output: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: options.cwd ?? '/',
      ...(options.env === undefined ? {} : { env: { ...options.env } }),
      ...options.as,
    });
    let output = '';
    const keep = (part: Buffer): void => {
      output = (output + part.toString('utf8')).slice(-20_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, options.timeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    let grace: NodeJS.Timeout | undefined;
    const done = (code: number | null): void => {
      clearTimeout(timer);
      clearTimeout(grace);
      resolve({ code: late ? 124 : (code ?? 1), output: output.trim() });
    };
    child.once('close', done);
    // A daemon that the command leaves behind may hold its output open for ever; then what came in a second is all.
    child.once('exit', (code) => {
      grace = setTimeout(done, 1000, code);
    });
  });

/** Finds a command on the PATH of this process; undefined when there is none. */
export const onPath = async (name: string): Promise<string | undefined> => {
  const found = await run('/bin/sh', ['-c', 'command -v -- "$1"', 'sh', name], { timeoutMs: 5000 });
  return found.code === 0 && found.output.startsWith('/') ? found.output : undefined;
};
