// What lives here: `<dir>/stack.json`: which background processes make up the stack of this folder.
// Invariant: it holds pids with start times and addresses, never a password; it is replaced in one step, so a reader never sees half of it.
// Apart because up, down and status read the same words.
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessId } from './system/process.ts';

/** A worker of the stack. */
export interface WorkerEntry {
  readonly name: string;
  readonly process: ProcessId;
  readonly logFile: string;
  /** Hash of its command, settings and addresses: a worker with another one is replaced. */
  readonly fingerprint: string;
  /** Its project, and what its files held when it was started; absent for a worker of no project. */
  readonly code?: { readonly of: string; readonly hash: string };
  /** `up` or `down` told it to end: it takes no work any more, and its end is no death. */
  readonly told?: true;
}

/** Whose code works here: a copy of the package, and the folder of a project. */
export interface StackOwner {
  readonly package: string;
  readonly version: string;
  readonly project: string;
}

/** What `up` left running. */
export interface StackState {
  /** Undefined for a stack without a command line. */
  readonly owner?: StackOwner;
  /** Starts again what ends by itself; undefined where nobody does. */
  readonly keeper?: { readonly process: ProcessId; readonly fingerprint: string };
  readonly postgres: 'given' | 'own';
  readonly temporal: 'given' | 'own';
  /** Of a given server; that of an own one is read from its own file. */
  readonly temporalAddress?: string;
  readonly workersWanted: number;
  /** Ended by `down`, so by a person, and not by itself. */
  readonly ended?: boolean;
  /** How many `up` was told last, if any: `down`, `dev` and a crash do not change it. */
  readonly workersTold?: number;
  /** Of the workers that came up last: hashes of the environment, and words of the project. */
  readonly settings?: {
    readonly environment: Readonly<Record<string, string>>;
    readonly project: Readonly<Record<string, string>>;
  };
  readonly workers: readonly WorkerEntry[];
}

const fileOf = (dir: string): string => join(dir, 'stack.json');

/** The state of the folder; undefined when no stack was ever brought up there. */
export const readStack = (dir: string): StackState | undefined =>
  existsSync(fileOf(dir)) ? (JSON.parse(readFileSync(fileOf(dir), 'utf8')) as StackState) : undefined;

/** Replaces the state of the folder. */
export const writeStack = (dir: string, state: StackState): void => {
  const draft = `${fileOf(dir)}.${process.pid}`;
  try {
    writeFileSync(draft, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
    renameSync(draft, fileOf(dir));
  } finally {
    // Half a draft of a disk that was full.
    rmSync(draft, { force: true });
  }
};
