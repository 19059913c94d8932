// What lives here: the workers of a stack as `up` leaves them: as many as wanted, with the settings and the code of now.
// Invariant: a worker stands in the books before it takes work; a keeper ends none; for other code one ends at a time, so that a wrong file ends one at most.
// Apart from stack.ts because only `up` loads it; whoever asks about a stack needs none of it.
import { codeOf } from './code.ts';
import { endWorkers } from './ending.ts';
import { fingerprintOf, settingsChanged, settingsOf } from './settings.ts';
import type { StackAddresses, StackOptions } from './stack.ts';
import { readStack, type StackState, type WorkerEntry, writeStack } from './state.ts';
import { isAlive } from './system/process.ts';
import { startWorkerProcess, type WorkerCommand } from './worker-process.ts';

const workerFor = (options: StackOptions, addresses: StackAddresses): WorkerCommand | undefined => {
  if (options.workers === 0) return undefined;
  if (options.worker === undefined) throw new Error('Workers are wanted, but not what to run as a worker.');
  const env = {
    ...options.worker.env,
    DATABASE_URL: addresses.databaseUrl,
    TEMPORAL_ADDRESS: addresses.temporalAddress,
  };
  return { ...options.worker, env };
};

/** The books with the workers that are in them, and how more are started. */
interface Crew {
  readonly dir: string;
  base: StackState;
  /** Those of the workers to start; in the books once one of them came up. */
  readonly settings: StackState['settings'];
  readonly workers: WorkerEntry[];
  readonly command: WorkerCommand;
  readonly mark: Pick<WorkerEntry, 'fingerprint' | 'code'>;
}

/** Returns the fingerprint of its workers. */
export async function workersUp(options: StackOptions, dir: string, addresses: StackAddresses): Promise<string> {
  const command = workerFor(options, addresses);
  const fingerprint = fingerprintOf(command, options.owner?.version);
  const code = command?.project === undefined ? undefined : { of: command.project, hash: codeOf(command.project) };
  // A keeper brings back what has ended; that somebody is writing files is not its business.
  const isOlder = (one: WorkerEntry): boolean =>
    options.keeper !== 'stays' && code !== undefined && one.code?.hash !== code.hash;
  const before = readStack(dir);
  const alive = (before?.workers ?? []).filter((worker) => isAlive(worker.process));
  const fitting = alive.filter((worker) => worker.told !== true && worker.fingerprint === fingerprint);
  const kept = fitting.toSorted((a, b) => Number(isOlder(a)) - Number(isOlder(b))).slice(0, options.workers);
  const { settings, ...books } = booksOf(options, before);
  const base: StackState = { ...books, ...withSettings(kept.length > 0 ? settings : before?.settings), workers: alive };
  await endWorkers(
    dir,
    base,
    alive.filter((worker) => !kept.includes(worker)),
  );
  const workers = [...kept];
  writeStack(dir, { ...base, workers });
  if (command === undefined) return fingerprint;
  const mark = { fingerprint, ...(code === undefined ? {} : { code }) };
  const crew: Crew = { dir, base, settings, workers, command, mark };
  const taken = new Set(workers.map((worker) => worker.name));
  const names = Array.from({ length: options.workers }, (_, index) => `worker-${index + 1}`);
  const missing = names.filter((name) => !taken.has(name)).slice(0, options.workers - workers.length);
  if (missing.length > 0) options.onProgress?.(`Starting ${missing.join(', ')}.`);
  const started = await Promise.allSettled(missing.map((name) => startOne(crew, name)));
  for (const one of started) if (one.status === 'rejected') throw one.reason;
  for (const older of kept.filter(isOlder)) {
    options.onProgress?.(
      `Files of the project changed since ${older.name} was started: it finishes what it holds and is started anew.`,
    );
    await endWorkers(dir, { ...crew.base, workers }, [older]);
    workers.splice(workers.indexOf(older), 1);
    writeStack(dir, { ...crew.base, workers });
    await startOne(crew, older.name);
  }
  return fingerprint;
}

/** All but the workers. Says which settings are others than those of the workers before. */
function booksOf(options: StackOptions, before: StackState | undefined): Omit<StackState, 'workers'> {
  const told = options.workers > 0 ? options.workers : before?.workersTold;
  const settings = options.worker && options.workers > 0 ? settingsOf(options.worker) : before?.settings;
  const changed = settings === undefined ? [] : settingsChanged(before?.settings, settings);
  if (changed.length > 0)
    options.onProgress?.(`Workers get other settings than those started last: ${changed.join(', ')}.`);
  return {
    ...(options.owner === undefined ? {} : { owner: options.owner }),
    ...(before?.keeper === undefined ? {} : { keeper: before.keeper }),
    postgres: options.databaseUrl === undefined ? 'own' : 'given',
    temporal: options.temporalAddress === undefined ? 'own' : 'given',
    ...(options.temporalAddress === undefined ? {} : { temporalAddress: options.temporalAddress }),
    workersWanted: options.workers,
    ...(told === undefined ? {} : { workersTold: told }),
    ...withSettings(settings),
  };
}

const withSettings = (settings: StackState['settings']): Pick<StackState, 'settings'> =>
  settings === undefined ? {} : { settings };

async function startOne(crew: Crew, name: string): Promise<void> {
  const { dir, workers, command, mark } = crew;
  const env = { ...command.env, MENDFLOW_STARTED_BY: `stack:${process.pid}` };
  await startWorkerProcess(
    { ...command, dir, name, env },
    {
      onSpawn: (id, logFile) => {
        workers.push({ name, process: id, logFile, ...mark });
        writeStack(dir, { ...crew.base, workers });
      },
    },
  );
  // Not before: settings with which no worker came up are none that anybody worked with.
  crew.base = { ...crew.base, ...withSettings(crew.settings) };
  writeStack(dir, { ...crew.base, workers });
}
