// What lives here: `mendflow upstreams`: the outside services of this project, as the workers use them, and how they are now.
// Invariant: of a secret only the name and whether it is set; of an address never the part that could be a password. What no worker has said is
// shown as this shell has it, and as such.
// Apart from `breakers` because this is what is declared, and answers also while the database is away.
import { inWords } from '../model/duration.ts';
import type { AnySpec } from '../model/spec.ts';
import type { Upstream } from '../model/upstream.ts';
import { differenceIn, differencesOf, differing, inUse, type UpstreamInUse } from '../model/upstream-in-use.ts';
import { isSet, secretsFrom } from '../connectors/secret.ts';
import { type BreakerRow, listBreakers } from '../store/breakers.ts';
import { listUses, type UpstreamUse } from '../store/upstream-use.ts';
import { repeatsLine, settingsLine, stateOf, styleOf } from './support/breaker-words.ts';
import type { Exit } from './support/exit-codes.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import { escaped, moment } from './support/terminal.ts';

export const registerUpstreams: Register = (program, act) => {
  program
    .command('upstreams')
    .summary('outside services of this project: address, limits, breaker, secrets, stages, state')
    .option('--json', 'print JSON')
    .action(act((session, options: { json?: boolean }) => upstreams(session, options.json === true)));
};

interface Shown extends UpstreamInUse {
  readonly key: string;
  /** `daily-report/extract` */
  readonly stages: readonly string[];
  /** Null where no worker has written it yet, or the database does not answer. */
  readonly state: string | null;
  /** Living workers that use it so, the first one first; none: it is shown as this shell has it. */
  readonly workers: readonly string[];
  readonly since: Date | null;
  /** Others that use it in another way, and this shell if it would. */
  readonly differs: readonly Difference[];
}
interface Difference {
  readonly who: string;
  /** Since when; null of this shell. */
  readonly since: Date | null;
  readonly in: Partial<UpstreamInUse>;
}

async function upstreams(session: Session, json: boolean): Promise<Exit> {
  const { upstreams: all, registry } = await session.declared();
  const declared = Object.entries(all);
  const { terminal } = session;
  const known = await session
    .store()
    .then(async (store) => ({ rows: await listBreakers(store), uses: await listUses(store) }))
    .catch((error: unknown) => {
      terminal.note(`The states are unknown: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    });
  const { rows, uses } = known ?? { rows: [], uses: [] };
  const readSecret = secretsFrom(session.environment());
  const shown = declared.map(([key, one]) =>
    shownOf(
      key,
      { one, here: inUse(one, (name) => isSet(readSecret, name)), specs: registry.specs },
      rows.find((row) => row.key === key),
      uses.filter((use) => use.key === key),
    ),
  );
  const others = rows.filter(({ key }) => !declared.some(([one]) => one === key));
  if (json) {
    terminal.json({ upstreams: shown, notDeclared: others.map((row) => ({ key: row.key, state: stateOf(row) })) });
    return 'ok';
  }
  if (shown.length === 0)
    terminal.note('This project declares no upstream: `project({ upstreams: upstreams({ … }) })`.');
  for (const one of shown)
    write(
      session,
      one,
      rows.find((row) => row.key === one.key),
      known === undefined ? 'state unknown' : 'not known to any worker yet',
    );
  for (const row of others)
    terminal.note(
      `${escaped(row.key)} is ${stateOf(row)} and not declared in this project: another project's, or left from an earlier release.`,
    );
  return 'ok';
}

function shownOf(
  key: string,
  project: { readonly one: Upstream; readonly here: UpstreamInUse; readonly specs: readonly AnySpec[] },
  row: BreakerRow | undefined,
  uses: readonly UpstreamUse[],
): Shown {
  const [first] = uses;
  const used = first?.declared ?? project.here;
  const differs = (who: string, since: Date | null, other: UpstreamInUse): Difference[] => {
    const names = differencesOf(used, other);
    return names.length === 0 ? [] : [{ who, since, in: differing(names, used, other) }];
  };
  return {
    ...used,
    key,
    stages: project.specs.flatMap((spec) =>
      Object.entries(spec.stages)
        .filter(([, policy]) => policy.upstream === key)
        .map(([stage]) => `${spec.name}/${stage}`),
    ),
    state: row === undefined ? null : stateOf(row),
    workers: uses.filter(({ declared }) => differencesOf(used, declared).length === 0).map(({ worker }) => worker),
    since: first?.since ?? null,
    differs: [
      ...uses.flatMap(({ worker, since, declared }) => differs(worker, since, declared)),
      ...differs('this shell', null, project.here),
    ],
  };
}

function write({ terminal }: Session, one: Shown, row: BreakerRow | undefined, without: string): void {
  const state = row === undefined ? terminal.style('dim', without) : terminal.style(styleOf(row), stateOf(row));
  const slow = one.slowMs === one.timeoutMs ? '' : `, slow from ${inWords(one.slowMs)}`;
  const pace = one.callsPerSecond === null ? 'not paced' : `${one.callsPerSecond} calls a second over all workers`;
  terminal.line(`${terminal.style('bold', escaped(one.key))}  ${state}`);
  terminal.line(`  address   ${escaped(one.address)}`);
  terminal.line(
    `  limits    ${inWords(one.timeoutMs)} a call${slow}, ${one.concurrency} at once in one worker, ${pace}`,
  );
  terminal.line(`  breaker   ${settingsLine(one.breaker)}`);
  terminal.line(`  repeats   ${repeatsLine}`);
  terminal.line(
    `  probe     ${one.probe === null ? 'none: the run that has waited longest goes first' : `GET ${escaped(one.probe)}`}`,
  );
  terminal.line(`  stages    ${one.stages.length === 0 ? 'none has it as its upstream' : one.stages.join(', ')}`);
  for (const [from, to] of Object.entries(one.codes)) terminal.line(`  code      ${from} means ${to} here`);
  for (const { name, header, set } of one.secrets)
    terminal.line(
      `  secret    ${name} for ${escaped(header)}: ${set ? 'set' : terminal.style('yellow', 'not set')} ${one.since === null ? 'in this shell; each worker reads its own' : 'for the worker'}`,
    );
  terminal.line(`  as used   ${usersOf(one)}`);
  for (const { who, since, in: of } of one.differs)
    terminal.line(
      `  ${terminal.style('yellow', 'differs')}   ${escaped(who)}${since === null ? ' has' : `, since ${moment(since)}, has`} ${escaped(differenceIn(of))}`,
    );
}

function usersOf({ workers: [first, ...more], since }: Shown): string {
  if (first === undefined || since === null) return 'by no worker now; this is how this shell has it';
  const others = more.length === 0 ? '' : ` and ${more.length} other${more.length === 1 ? '' : 's'}`;
  return `by worker ${escaped(first)}${others}, since ${moment(since)}`;
}
