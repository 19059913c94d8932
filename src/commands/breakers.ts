// What lives here: `mendflow breakers`: what each breaker does and why, and an operator's word above it.
// Invariant: reads and writes the control store only, so it answers while upstream, workers and Temporal are away; who, why and how long are kept.
// Apart from `upstreams` because that is what is declared, and this is what happens.
import type { Cause } from '../model/breaker-evidence.ts';
import { nextCooldownMs } from '../model/breaker-cooldown.ts';
import { inWords, parseDuration } from '../model/duration.ts';
import { codes, isCode } from '../model/failure.ts';
import { breakerDefaults } from '../model/upstream.ts';
import { shellWord } from '../model/shell.ts';
import {
  breakerEvents,
  type BreakerEventRow,
  type BreakerMode,
  type BreakerRow,
  declareBreakers,
  listBreakers,
  readBreaker,
  setMode,
} from '../store/breakers.ts';
import { nobodyWaits, waitsByUpstream, type WaitsFor } from '../store/waits.ts';
import {
  breakerCommands,
  causeWords,
  eventLine,
  nextOf,
  repeatsLine,
  settingsLine,
  stateOf,
  styleOf,
  waitsLine,
  whyOf,
} from './support/breaker-words.ts';
import { CommandError, type Exit } from './support/exit-codes.ts';
import { declaredUpstreams, upstreamKeyOf } from './support/find-upstream.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import { counted, escaped, moment } from './support/terminal.ts';

interface ModeOptions {
  readonly for?: string;
  readonly reason: string;
  readonly json?: boolean;
}

const EVENTS_SHOWN = 20;
const FOR_MAX_MS = 366 * 86_400_000;

const modes = [
  ['force-open', 'forced_open', 'make no call to an upstream, for so long'],
  ['force-close', 'forced_closed', 'make every call to an upstream, whatever it meets, for so long'],
  ['observe', 'observe', 'count what an upstream does, and let every call through'],
  ['auto', 'auto', 'end what an operator said, and a hold: the breaker decides again'],
] as const satisfies readonly (readonly [string, BreakerMode, string])[];

export const registerBreakers: Register = (program, act) => {
  const breakers = program
    .command('breakers')
    .summary('breakers: which upstreams may be called now, and why')
    .helpCommand(false);
  breakers
    .command('list')
    .summary('list all breakers: state, why, who waits, what happens next by itself')
    .option('--json', 'print JSON')
    .action(act((session, options: { json?: boolean }) => list(session, options.json === true)));
  breakers
    .command('show')
    .summary('show a breaker: state, why, window, who waits, what happened, ready commands')
    .argument('<key>', 'the upstream, such as http:quake-api, or its name alone')
    .option('--json', 'print JSON')
    .action(act((session, key: string, options: { json?: boolean }) => show(session, key, options.json === true)));
  for (const [name, mode, summary] of modes) {
    const command = breakers.command(name).summary(summary).argument('<key>', 'the upstream, or its name alone');
    if (mode === 'forced_open' || mode === 'forced_closed')
      command.requiredOption('--for <duration>', 'until it goes back to auto by itself, such as "1 hour"');
    if (mode === 'observe')
      command.option('--for <duration>', 'until it goes back to auto by itself; default: until somebody says `auto`');
    command
      .requiredOption('--reason <text>', 'why; kept with who and when')
      .option('--json', 'print JSON')
      .action(act((session, key: string, options: ModeOptions) => set(session, key, mode, options)));
  }
};

/** As scripts see it: the row, who waits, and the same sentences. */
interface Page extends BreakerRow {
  readonly says: string;
  readonly since: Date;
  readonly because: string;
  readonly next: string;
  readonly waits: WaitsFor;
  readonly commands: readonly string[];
}

function pageOf(row: BreakerRow, waits: WaitsFor, last: BreakerEventRow | undefined): Page {
  return {
    ...row,
    says: stateOf(row),
    since: new Date(row.sinceAt),
    because: whyOf(row, last),
    next: nextOf(row, waits, Date.now()),
    waits,
    commands: breakerCommands(row),
  };
}

async function list(session: Session, json: boolean): Promise<Exit> {
  const store = await session.store();
  const [rows, waiting] = await Promise.all([listBreakers(store), waitsByUpstream(store)]);
  const lasts = await Promise.all(rows.map(({ key }) => breakerEvents(store, key, 1)));
  const pages = rows.map((row, index) => pageOf(row, waiting.get(row.key) ?? nobodyWaits, lasts[index]![0]));
  const { terminal } = session;
  if (json) {
    terminal.json(pages);
    return 'ok';
  }
  if (pages.length === 0) {
    terminal.note(
      'No breaker yet: a worker writes one for each upstream of its project when it starts. See `mendflow upstreams`.',
    );
    return 'ok';
  }
  for (const page of pages) {
    terminal.line(
      `${terminal.style('bold', escaped(page.key))} is ${terminal.style(styleOf(page), page.says)} since ${moment(page.since)}: ${page.because}`,
    );
    terminal.line(`  ${waitsLine(page.waits)}. ${page.next}`);
  }
  return 'ok';
}

const cooldownOf = (row: BreakerRow): number =>
  nextCooldownMs({ ...row, settings: { ...breakerDefaults, ...row.settings } }, Date.now());

/** A fault that held the breaker is counted by nobody, so only its event knows it; it is the last failure where it came after the last that was counted. */
function lastFailureOf({ cause }: BreakerRow, events: readonly BreakerEventRow[]): BreakerRow['cause'] {
  const held = events.find(({ detail }) => typeof detail['hold'] === 'string');
  if (held === undefined || (cause !== undefined && cause.when > held.at)) return cause;
  return { ...(held.detail['cause'] as Cause | undefined), code: String(held.detail['hold']), when: held.at };
}

async function show(session: Session, written: string, json: boolean): Promise<Exit> {
  const store = await session.store();
  const row = await theBreaker(session, written);
  const [waiting, events] = await Promise.all([waitsByUpstream(store), breakerEvents(store, row.key, EVENTS_SHOWN)]);
  const page = pageOf(row, waiting.get(row.key) ?? nobodyWaits, events[0]);
  const { terminal } = session;
  if (json) {
    terminal.json({
      ...page,
      events: events.map((event) => ({ ...event, at: new Date(event.at), says: eventLine(event) })),
    });
    return 'ok';
  }
  const { calls, fail, slow, callers } = page.window;
  terminal.line(
    `${terminal.style('bold', escaped(page.key))} is ${terminal.style(styleOf(page), page.says)} since ${moment(page.since)}`,
  );
  terminal.line(`  why       ${page.because}`);
  const failure = lastFailureOf(page, events);
  if (failure !== undefined)
    terminal.line(
      `  failure   ${causeWords(failure, '')} at ${moment(new Date(failure.when))}${isCode(failure.code) ? `: ${codes[failure.code].says}` : ''}`,
    );
  terminal.line(`  next      ${page.next}`);
  terminal.line(`  waits     ${waitsLine(page.waits)}`);
  const over = page.state === 'open' || page.state === 'half_open';
  terminal.line(
    over && calls === 0
      ? '  window    emptied when it opened; calls count again once they are made'
      : `  window    ${counted(calls)} calls by ${counted(callers)} workers, ${counted(fail)} failed, ${counted(slow)} slow; ${counted(page.consecutive)} failures in a row`,
  );
  terminal.line(
    `  cooldown  ${inWords(cooldownOf(row))} ${over ? 'next, if its trial fails' : 'if it opens now'}; grows with outages in a row, shrinks with calm (epoch ${page.epoch})`,
  );
  terminal.line(`  settings  ${settingsLine(page.settings)}`);
  terminal.line(`  repeats   ${repeatsLine}`);
  if (page.waits.parked > 0) terminal.line('  list      mendflow runs --state parked');
  if (page.commands.length > 0) {
    terminal.line();
    terminal.line(
      page.admit
        ? 'To decide:'
        : page.hold === undefined
          ? 'To decide before that:'
          : 'Once the cause is mended, one of:',
    );
    for (const command of page.commands) terminal.line(`    ${command}`);
    if (page.commands.some((command) => command.startsWith('mendflow breakers force-close')))
      terminal.line(
        '  force-close makes every call, also each that fails: only for who knows that the upstream is back.',
      );
  }
  if (events.length > 0) {
    terminal.line();
    terminal.line(terminal.style('bold', 'What happened'));
    for (const event of events.toReversed())
      terminal.line(`  ${terminal.style('dim', moment(new Date(event.at)))} ${eventLine(event)}`);
  }
  return 'ok';
}

async function set(session: Session, written: string, mode: BreakerMode, options: ModeOptions): Promise<Exit> {
  const why = options.reason;
  if (why.trim() === '' || why.length > 500)
    throw new CommandError('usage', '--reason has to say why, in at most 500 characters. Nothing was changed.');
  const untilMs = options.for === undefined ? undefined : parseDuration(options.for);
  if (options.for !== undefined && !(untilMs !== undefined && untilMs > 0 && untilMs <= FOR_MAX_MS))
    throw new CommandError(
      'usage',
      `--for has to be a duration such as "1 hour", of a year at most, and is "${options.for}". Nothing was changed. See \`mendflow help breakers ${modes.find(([, one]) => one === mode)![0]}\`.`,
    );
  const { key } = await theBreaker(session, written);
  const store = await session.store();
  const row = await setMode(store, key, {
    mode,
    by: session.config.actor,
    why,
    ...(untilMs === undefined ? {} : { untilMs }),
  });
  const waits = (await waitsByUpstream(store)).get(key) ?? nobodyWaits;
  const [last] = await breakerEvents(store, key, 1);
  const page = pageOf(row, waits, last);
  if (options.json === true) session.terminal.json(page);
  else {
    session.terminal.line(`${session.terminal.style('green', 'Done')}: ${escaped(key)} is ${page.says}. ${page.next}`);
    session.terminal.line(`  follow  mendflow breakers show ${shellWord(key)}`);
  }
  return 'ok';
}

/** The breaker of this key, or the only one of this name. One that is declared and was never written is made: it may be forced before the first call. */
async function theBreaker(session: Session, written: string): Promise<BreakerRow> {
  const store = await session.store();
  const rows = await listBreakers(store);
  const declared = await declaredUpstreams(session);
  const key = upstreamKeyOf(written, [...rows.map(({ key }) => key), ...Object.keys(declared)]);
  const row = rows.find((one) => one.key === key);
  if (row) return row;
  await declareBreakers(store, { [key]: declared[key]! });
  return (await readBreaker(store, key))!;
}
