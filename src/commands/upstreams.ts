// What lives here: `mendflow upstreams`: the outside services of this project, as declared, and how they are now.
// Invariant: of a secret only the name and whether it is set here; of an address never the part that could be a password.
// Apart from `breakers` because this is what is declared, and answers also while the database is away.
import { inWords, ms } from '../model/duration.ts';
import type { AnySpec } from '../model/spec.ts';
import { breakerSettingsOf, type BreakerSettings, CONCURRENCY, timeoutMsOf, type Upstream } from '../model/upstream.ts';
import { secretsFrom } from '../connectors/secret.ts';
import { type BreakerRow, listBreakers } from '../store/breakers.ts';
import { settingsLine, stateOf, styleOf } from './support/breaker-words.ts';
import type { Exit } from './support/exit-codes.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import { escaped } from './support/terminal.ts';

export const registerUpstreams: Register = (program, act) => {
  program
    .command('upstreams')
    .summary('outside services of this project: address, limits, breaker, secrets, stages, state')
    .option('--json', 'print JSON')
    .action(act((session, options: { json?: boolean }) => upstreams(session, options.json === true)));
};

interface Shown {
  readonly key: string;
  readonly address: string;
  readonly timeoutMs: number;
  readonly slowMs: number;
  readonly callsPerSecond: number | null;
  readonly concurrency: number;
  readonly probe: string | null;
  readonly breaker: BreakerSettings;
  readonly codes: Readonly<Record<string, string>>;
  /** `daily-report/extract` */
  readonly stages: readonly string[];
  readonly secrets: readonly { readonly name: string; readonly header: string; readonly set: boolean }[];
  /** Null where no worker has written it yet, or the database does not answer. */
  readonly state: string | null;
}

async function upstreams(session: Session, json: boolean): Promise<Exit> {
  const { upstreams: all, registry } = await session.declared();
  const declared = Object.entries(all);
  const { terminal } = session;
  const known = await session
    .store()
    .then(listBreakers)
    .catch((error: unknown) => {
      terminal.note(`The states are unknown: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    });
  const rows: readonly BreakerRow[] = known ?? [];
  const readSecret = secretsFrom(session.environment());
  const shown = declared.map(([key, one]) =>
    shownOf(
      key,
      one,
      registry.specs,
      rows.find((row) => row.key === key),
      (name) => isSet(readSecret, name),
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

/** A named file that cannot be read is as good as none. */
function isSet(read: (name: string) => string | undefined, name: string): boolean {
  try {
    return read(name) !== undefined;
  } catch {
    return false; // What is wrong with the file is said by the call that needs it.
  }
}

function shownOf(
  key: string,
  one: Upstream,
  specs: readonly AnySpec[],
  row: BreakerRow | undefined,
  set: (name: string) => boolean,
): Shown {
  return {
    key,
    address: withoutLogin(one.address),
    timeoutMs: timeoutMsOf(one),
    slowMs: one.slow === undefined ? timeoutMsOf(one) : ms(one.slow),
    callsPerSecond: one.callsPerSecond ?? null,
    concurrency: one.concurrency ?? CONCURRENCY,
    probe: one.probe ?? null,
    breaker: breakerSettingsOf(one),
    codes: { ...one.codes } as Record<string, string>,
    stages: specs.flatMap((spec) =>
      Object.entries(spec.stages)
        .filter(([, policy]) => policy.upstream === key)
        .map(([stage]) => `${spec.name}/${stage}`),
    ),
    secrets: Object.entries(one.headers ?? {}).flatMap(([header, value]) =>
      typeof value === 'string' ? [] : [{ name: value.secret, header, set: set(value.secret) }],
    ),
    state: row === undefined ? null : stateOf(row),
  };
}

/** A login in an address is a secret that somebody put in the wrong place. */
const withoutLogin = (address: string): string => address.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, '$1…@');

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
  terminal.line(
    `  probe     ${one.probe === null ? 'none: the run that has waited longest goes first' : `GET ${escaped(one.probe)}`}`,
  );
  terminal.line(`  stages    ${one.stages.length === 0 ? 'none has it as its upstream' : one.stages.join(', ')}`);
  for (const [from, to] of Object.entries(one.codes)) terminal.line(`  code      ${from} means ${to} here`);
  for (const { name, header, set } of one.secrets)
    terminal.line(
      `  secret    ${name} for ${escaped(header)}: ${set ? 'set' : terminal.style('yellow', 'not set')} in this shell; each worker reads its own`,
    );
}
