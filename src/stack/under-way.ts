// What lives here: what is just happening to the stack of a folder: who brings it up or ends it, and who runs `mendflow dev` with which workers.
// Invariant: only processes that live count, known by pid and start time; asking changes nothing and asks no server.
// Apart from the stack's books, because what is half done stands in none of them.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readStack } from './state.ts';
import { lockedBy } from './system/lock.ts';
import { identify, isAlive, type ProcessId } from './system/process.ts';

interface DevWorkerEntry {
  readonly process: ProcessId;
  readonly isUp: boolean;
}

/** One `mendflow dev` that lives, and its workers that live. */
export interface Dev {
  readonly process: ProcessId;
  /** Whether one of its workers was up, be it dead by now. */
  readonly wasUp: boolean;
  readonly workers: readonly DevWorkerEntry[];
}

/** Where `mendflow dev` writes down its workers, so that nobody takes them for strays. */
export interface DevBook {
  /** Started, and later up. */
  worker(pid: number, isUp: boolean): void;
  close(): void;
}

const folderOf = (dir: string): string => join(resolve(dir), 'dev');

/** Begins the book of this process. */
export function openDevBook(dir: string): DevBook {
  const me = identify(process.pid)!;
  const file = join(folderOf(dir), `${me.pid}.json`);
  const workers = new Map<number, DevWorkerEntry>();
  let wasUp = false;
  const write = (): void => {
    const dev: Dev = { process: me, wasUp, workers: [...workers.values()].filter((one) => isAlive(one.process)) };
    try {
      mkdirSync(folderOf(dir), { recursive: true });
      writeFileSync(`${file}.draft`, JSON.stringify(dev), { mode: 0o600 });
      renameSync(`${file}.draft`, file);
    } catch {
      // A folder that cannot be written costs a word of `doctor`, and is told by what follows.
    }
  };
  write();
  return {
    worker: (pid, isUp) => {
      wasUp ||= isUp;
      const id = identify(pid);
      if (id === undefined) return;
      workers.set(pid, { process: id, isUp });
      write();
    },
    close: () => rmSync(file, { force: true }),
  };
}

/** All that live over the stack of this folder. */
export function devsOf(dir: string): Dev[] {
  return filesIn(folderOf(dir)).flatMap((name) => {
    try {
      const dev = JSON.parse(readFileSync(join(folderOf(dir), name), 'utf8')) as Dev;
      if (!isAlive(dev.process)) return [];
      return [{ ...dev, workers: dev.workers.filter((one) => isAlive(one.process)) }];
    } catch {
      return []; // Ended, or is written just now.
    }
  });
}

/** Whether this one had a worker and has none: nothing starts it but a person. */
export const hasLostItsWorker = ({ wasUp, workers }: Dev): boolean => wasUp && workers.length === 0;

const filesIn = (folder: string): string[] => {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Nobody ever ran it here.
  }
};

/** Whether the stack of this folder is down because somebody ended it. */
export const wasEnded = (dir: string): boolean =>
  lockedBy(resolve(dir), 'stack')?.doing === 'down' || readStack(resolve(dir))?.ended === true;

/** In words, why something of the stack is not there yet, or not any more, without anybody having to do something; undefined where nothing is under way. */
export function underWay(dir: string): string | undefined {
  const holder = lockedBy(resolve(dir), 'stack');
  const { keeper, workers = [], workersWanted = 0 } = readStack(resolve(dir)) ?? {};
  // It holds the lock as an `up` does; but nobody brings anything up.
  const isKeeper = holder?.pid === keeper?.process.pid && holder?.startedAt === keeper?.process.startedAt;
  if (holder && !isKeeper)
    return `The stack in ${dir} is just being ${holder.doing === 'down' ? 'ended' : 'brought up'} by process ${holder.pid}.`;
  const living = workers.filter((one) => isAlive(one.process)).length;
  if (keeper && isAlive(keeper.process) && (holder || living < workersWanted))
    return `The stack in ${dir} is just starting again by itself what has ended.`;
  const dev = devsOf(dir).find((one) => !hasLostItsWorker(one) && !one.workers.some(({ isUp }) => isUp));
  return dev && `\`mendflow dev\` (process ${dev.process.pid}) is starting here, or says in its terminal why not.`;
}
