// What lives here: that no worker of this folder's stack works, and what mends it.
// Invariant: read from the stack's books and from the processes of this machine, no server is asked; where a server was given, workers may be anywhere, and nothing is said.
// Apart because the store knows only what workers have written, and there a run that nobody works is a run that runs.
import type { Config } from '../../config.ts';
import { devsOf, hasLostItsWorker, isSuspended, stackWorkers, underWay } from '../../stack/index.ts';

/** Why nothing goes on, as a sentence, and the command that mends it; none where it is mended already. */
export interface Idle {
  readonly says: string;
  readonly mend?: string;
}

/** What lets suspended processes go on. */
export const resume = (suspended: readonly { pid: number }[]): string =>
  `kill -CONT ${suspended.map(({ pid }) => pid).join(' ')}`;

/** What starts the worker of a `dev` again. */
export const devMend = 'Save a file of the project, and `dev` starts a worker; or end `dev` and start it again.';

/** Undefined where a worker lives that is not suspended. */
export function idleOf({
  dir,
  databaseUrl,
  temporal,
}: Pick<Config, 'dir' | 'databaseUrl' | 'temporal'>): Idle | undefined {
  if (databaseUrl !== undefined || temporal !== undefined) return undefined;
  const devs = devsOf(dir);
  const workers = [
    ...stackWorkers(dir).filter(({ alive }) => alive),
    ...devs.flatMap((dev) =>
      dev.workers.map((one) => ({ name: 'the worker of `mendflow dev`', pid: one.process.pid })),
    ),
  ];
  const suspended = workers.filter(({ pid }) => isSuspended(pid));
  if (suspended.length < workers.length) return undefined;
  if (suspended.length > 0) {
    const who = suspended.map(({ name, pid }) => `${name} (process ${pid})`).join(', ');
    const [are, them] = suspended.length === 1 ? ['is', 'it goes'] : ['are', 'one of them goes'];
    return { says: `${who} ${are} suspended; until ${them} on, this run does not.`, mend: resume(suspended) };
  }
  const now = underWay(dir);
  if (now !== undefined) return { says: `No worker runs here yet. ${now}` };
  return {
    says: 'No worker runs here; until one does, this run does not go on.',
    mend: devs.some(hasLostItsWorker) ? devMend : 'mendflow stack up',
  };
}
