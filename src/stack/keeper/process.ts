// What lives here: the keeper's process as others see it: started, known, ended, and what it wrote down.
// Invariant: it is in the books of the stack before it gets its order, and without an order it ends; so none is left that nobody knows.
// Apart from main.ts, which is the program itself.
import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { end, identify, isAlive, type ProcessId } from '../system/process.ts';
import type { WorkerCommand } from '../worker-process.ts';
import type { StackOwner, StackState } from '../state.ts';

/** What a keeper keeps: all that `up` was told, but for functions. */
export interface KeeperOrder {
  readonly dir: string;
  /** Of programs; see `startPostgres` and `ensureTemporalCli`. */
  readonly cacheDir: string;
  /** TEMPORAL_CLI. */
  readonly temporalCli?: string | undefined;
  /** Use this Postgres and start none. */
  readonly databaseUrl?: string | undefined;
  /** Use this Temporal server and start none. */
  readonly temporalAddress?: string | undefined;
  /** How many workers shall run. */
  readonly workers: number;
  /** Whose code it is. Another owner's living workers are never replaced. */
  readonly owner?: StackOwner | undefined;
  /** `DATABASE_URL` and `TEMPORAL_ADDRESS` are added to its environment. Needed when `workers` > 0. */
  readonly worker?: WorkerCommand | undefined;
}

/** How to start the keeper's program. */
export interface KeeperCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/** Something that had ended by itself. */
export interface Repair {
  readonly at: string;
  /** `worker-1`, `Postgres`, `Temporal`. */
  readonly what: string;
  /** A sentence. */
  readonly lastWords: string;
}

/** All of the stack was gone, its keeper too, until somebody brought it up. */
export interface Loss {
  /** The last sign of life. */
  readonly from: string;
  readonly to: string;
  /** How many had ended. */
  readonly processes: number;
}

/** What the keeper wrote down last. */
export interface KeeperNotes {
  readonly repairs: readonly Repair[];
  /** Written by `up`. */
  readonly losses?: readonly Loss[];
  /** Why the last try brought not all back; undefined when it did. */
  readonly stuck?: string;
  readonly nextTryAt?: string;
}

const notesOf = (dir: string): string => join(dir, 'keeper.json');

export const keeperLog = (dir: string): string => join(dir, 'logs', 'keeper.log');

/** Nothing, if there are none or a disk that was full cut them short. */
export function readNotes(dir: string): KeeperNotes {
  try {
    return existsSync(notesOf(dir)) ? (JSON.parse(readFileSync(notesOf(dir), 'utf8')) as KeeperNotes) : { repairs: [] };
  } catch {
    return { repairs: [] };
  }
}

/** Best effort: where they cannot be written, the keeping goes on. */
export function writeNotes(dir: string, notes: KeeperNotes): void {
  try {
    writeFileSync(notesOf(dir), JSON.stringify(notes), { mode: 0o600 });
  } catch {
    // The disk is full; that is what is being mended.
  }
}

const fingerprintOf = (order: KeeperOrder, workers: string): string => {
  const { worker, ...rest } = order;
  return createHash('sha256')
    .update(JSON.stringify([rest, worker?.command, worker?.args, workers]))
    .digest('hex')
    .slice(0, 16);
};

/** Starts one with this order, unless the one in the books has the same; ends that one otherwise. `write` puts the new one into the books. */
export async function startKeeper(
  { command, args }: KeeperCommand,
  { order, workers }: { readonly order: KeeperOrder; readonly workers: string },
  before: StackState['keeper'],
  write: (keeper: NonNullable<StackState['keeper']>) => void,
): Promise<void> {
  const fingerprint = fingerprintOf(order, workers);
  if (before?.fingerprint === fingerprint && isAlive(before.process)) return;
  await endKeeper(before);
  mkdirSync(join(order.dir, 'logs'), { recursive: true });
  const log = openSync(keeperLog(order.dir), 'a', 0o600);
  try {
    const env = { ...order.worker?.env };
    const child = spawn(command, args, { cwd: order.dir, env, detached: true, stdio: ['pipe', log, log] });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    const id: ProcessId | undefined = identify(child.pid ?? 0);
    if (id === undefined) throw new Error(`The keeper ended at once; see ${keeperLog(order.dir)}.`);
    write({ process: id, fingerprint });
    await new Promise<void>((resolve, reject) => {
      child.stdin!.once('error', reject);
      child.stdin!.end(JSON.stringify(order), resolve);
    });
    child.unref();
  } finally {
    closeSync(log);
  }
}

/** It may be in the middle of a repair: what it has begun is in the books or ends by itself. */
export const endKeeper = async (keeper: StackState['keeper']): Promise<void> => {
  if (keeper !== undefined) await end(keeper.process, 'SIGTERM', 2_000);
};
