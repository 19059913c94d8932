// What lives here: what `doctor` looks at beside the state of a stack: what had to be started again, and workers that nobody here started.
// Invariant: a check changes nothing; what ended by itself is told with its last message, and a stray worker by its process.
// Apart from checks.ts because these ask processes of this machine, not servers.
import { hostname } from 'node:os';
import type { Config } from '../../config.ts';
import { queues } from '../../model/ids.ts';
import { devsOf, hasLostItsWorker, type StackStatus, stackWorkers } from '../../stack/index.ts';
import { ACTIVITY, type Check, type Polled, pollersOf } from './checks.ts';
import { devMend } from './idle.ts';
import { moment } from './terminal.ts';

/** What ended before is an old story. */
const TOLD_MS = 24 * 60 * 60 * 1_000;

export function keeperChecks({ keeper }: StackStatus): Check[] {
  if (keeper === undefined) return [];
  const name = 'Keeper';
  if (!keeper.alive)
    return [{ name, state: 'wrong', says: 'gone, so nothing is started again', mend: 'mendflow stack up' }];
  const mend = 'mendflow stack status';
  if (keeper.stuck !== undefined)
    return [{ name, state: 'wrong', says: `what ended does not come back: ${keeper.stuck.split('\n')[0]}`, mend }];
  const late = keeper.repairs.filter(({ at }) => Date.now() - Date.parse(at) < TOLD_MS);
  const last = late.at(-1);
  if (last === undefined) return [{ name, state: 'ok', says: 'nothing ended by itself in the last day' }];
  return [
    {
      name,
      state: 'note',
      says: `${late.length} ended by themselves in the last day and were started again, last ${last.what} at ${moment(new Date(last.at))}. ${last.lastWords}`,
      mend,
    },
  ];
}

/** Workers that go on with code that is in the files no more; a fault only to whoever expects otherwise. */
export const codeChecks = ({ older }: StackStatus): Check[] =>
  older.length === 0
    ? []
    : [
        {
          name: 'Code of workers',
          state: 'note',
          says: `files of the project changed since ${older.join(', ')} ${older.length === 1 ? 'was' : 'were'} started, so ${older.length === 1 ? 'it works' : 'they work'} with the code of before`,
          mend: 'mendflow stack up',
        },
      ];

/** Who runs `mendflow dev` here, and workers of this machine that poll the stack's own server and are in no book: started by hand. */
export async function strayChecks({ dir, temporal: given, prefix }: Config, polled: Polled): Promise<Check[]> {
  const devs = devsOf(dir);
  const checks = devs.map((dev): Check => {
    const { process, workers } = dev;
    const who = { name: 'Development', state: 'ok' } as const;
    const what = `\`mendflow dev\` (process ${process.pid})`;
    if (hasLostItsWorker(dev))
      return {
        ...who,
        state: 'wrong',
        says: `${what} runs no worker: the one that was up has ended; the terminal of \`dev\` says why, if it said so`,
        mend: devMend,
      };
    if (workers.length === 0) return { ...who, says: `${what} has no worker yet; its terminal says why` };
    const pids = workers.map((one) => one.process.pid).join(', ');
    return { ...who, says: `${what} runs ${workers.length === 1 ? 'the worker' : 'the workers'} ${pids}` };
  });
  if (given) return checks;
  const ofDevs = devs.flatMap(({ workers }) => workers.map((one) => one.process.pid));
  const known = new Set([...stackWorkers(dir).map(({ pid }) => pid), ...ofDevs].map((pid) => `${pid}@${hostname()}`));
  const pollers = await pollersOf(polled, queues(prefix).heal, ACTIVITY);
  const strays = [...new Set(pollers.map(({ identity }) => identity))].filter(
    (one) => one.endsWith(`@${hostname()}`) && !known.has(one),
  );
  if (strays.length === 0) return checks;
  const pids = strays.map((one) => one.split('@')[0]);
  return [
    ...checks,
    {
      name: 'Other workers',
      state: 'note',
      says: `process ${pids.join(', ')} polls here and was not started by \`stack up\`: it was started by hand or is left of a \`mendflow dev\` that was killed, with whatever code it has`,
      mend: `kill ${pids.join(' ')}`,
    },
  ];
}
