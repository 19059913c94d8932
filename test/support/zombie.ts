// What lives here: child processes that a test kills, stops and wakes.
// Invariant: every child is ended when the test ends, stopped ones too; only children started here are ever signalled.
// Apart because a process that is stopped neither dies with its parent nor answers to SIGTERM.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { builtProgram } from './program.ts';

export interface Child {
  readonly pid: number;
  /** Settles when the child is gone; with its exit code, or the signal that ended it. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }>;
  kill(signal: NodeJS.Signals): void;
}

const children = new Set<ChildProcess>();

/** Runs a TypeScript program with one argument. */
export function startChild(program: URL, argument: object): Child {
  const child = spawn(process.execPath, [builtProgram(program), JSON.stringify(argument)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  children.add(child);
  let stderr = '';
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }>((resolve) => {
    child.once('close', (code, signal) => {
      children.delete(child);
      resolve({ code, signal, stderr });
    });
  });
  return { pid: child.pid!, ended, kill: (signal) => void child.kill(signal) };
}

/** Waits until the process has been stopped by SIGSTOP. Fails after 20 s. */
export async function untilStopped(pid: number): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (stateOf(pid).startsWith('T')) return;
    await sleep(50);
  }
  throw new Error(`Process ${pid} was not stopped within 20 s; its state is "${stateOf(pid)}".`);
}

/** Waits until the condition holds. Fails after 40 s, or at once if the child it depends on has ended. */
export async function until(condition: () => boolean, child: Child): Promise<void> {
  let gone: { code: number | null; stderr: string } | undefined;
  void child.ended.then((end) => (gone = end));
  for (const deadline = Date.now() + 40_000; !condition();) {
    if (gone)
      throw new Error(`Process ${child.pid} ended with ${gone.code} before what was waited for. ${gone.stderr}`);
    if (Date.now() > deadline) throw new Error(`Process ${child.pid} did not get there within 40 s.`);
    await sleep(5);
  }
}

function stateOf(pid: number): string {
  try {
    return execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return 'gone';
  }
}

/** For afterEach: no child survives its test. */
export async function endChildren(): Promise<void> {
  const gone = [...children].map((child) => new Promise<void>((resolve) => child.once('close', () => resolve())));
  for (const child of children) child.kill('SIGKILL');
  await Promise.all(gone);
}
