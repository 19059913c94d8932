// What lives here: what `doctor` says of workers that live beside each other and use an upstream in different ways.
// Invariant: only workers that live count; each is told by what ends it, and nothing is ended.
// Apart from checks.ts because this asks the control store and the processes of this machine.
import { hostname } from 'node:os';
import type { Pool } from 'pg';
import { differenceIn, differencesOf, differing } from '../../model/upstream-in-use.ts';
import { devsOf, stackWorkers, startOf } from '../../stack/index.ts';
import { listUses, type UpstreamUse } from '../../store/upstream-use.ts';
import type { Check } from './checks.ts';
import { moment } from './terminal.ts';

/** Upstreams that living workers use in different ways: a stage is worked with the settings of whichever takes it. */
export async function useChecks(pool: Pool, dir: string): Promise<Check[]> {
  const uses = (await listUses(pool)).filter(({ worker }) => !hasEnded(worker));
  const keys = [...new Set(uses.map(({ key }) => key))];
  return keys.flatMap((key) =>
    checkOf(
      key,
      uses.filter((use) => use.key === key),
      dir,
    ),
  );
}

function checkOf(key: string, uses: readonly UpstreamUse[], dir: string): Check[] {
  const ways: UpstreamUse[][] = [];
  for (const use of uses) {
    const same = ways.find(([one]) => differencesOf(one!.declared, use.declared).length === 0);
    if (same) same.push(use);
    else ways.push([use]);
  }
  const [[first] = [], [second] = []] = ways;
  if (first === undefined || second === undefined) return [];
  const told = ways.map((users) => {
    const [{ declared, since }] = users as [UpstreamUse];
    const other = declared === first.declared ? second.declared : first.declared;
    const has = differenceIn(differing(differencesOf(other, declared), other, declared));
    return `${users.map(({ worker }) => nameOf(worker, dir).name).join(', ')}, since ${moment(since)}: ${has}`;
  });
  const ends = uses.map(({ worker }) => nameOf(worker, dir).end);
  return [
    {
      name: 'Settings differ',
      state: 'wrong',
      says: `workers use ${key} in ${ways.length} ways, and a stage is worked in that of whichever takes it. ${told.join('. ')}. It passes by itself where one is just being replaced`,
      mend: `End those whose settings are wrong: ${[...new Set(ends)].join(', or ')}.`,
    },
  ];
}

/** What a worker calls itself, as src/worker says it: `<host>:<pid>`. */
const pidHere = (worker: string): number | undefined => {
  const at = worker.lastIndexOf(':');
  return worker.slice(0, at) === hostname() ? Number(worker.slice(at + 1)) : undefined;
};

/** The store knows a worker that was killed for another minute. */
const hasEnded = (worker: string): boolean => {
  const pid = pidHere(worker);
  return pid !== undefined && startOf(pid) === undefined;
};

/** By whom it was started, as far as that is known here, and what ends it. */
function nameOf(worker: string, dir: string): { name: string; end: string } {
  const pid = pidHere(worker);
  if (pid === undefined) return { name: worker, end: `worker ${worker}` };
  const dev = devsOf(dir).find(({ workers }) => workers.some(({ process }) => process.pid === pid));
  if (dev)
    return {
      name: `worker ${pid} of \`mendflow dev\` (process ${dev.process.pid})`,
      end: `Ctrl-C at that \`mendflow dev\`, or \`kill ${dev.process.pid}\``,
    };
  const own = stackWorkers(dir).find((one) => one.pid === pid);
  if (own)
    return {
      name: `${own.name} (process ${pid})`,
      end: '`mendflow stack up` from the shell with the right ones',
    };
  return { name: `worker ${pid}`, end: `\`kill ${pid}\`` };
}
