// What lives here: `retry`, `skip`, `extend-budget`, `accept-loss` and `abort`.
// Invariant: a decision is sent once per question and person, and its answer is told as it was given; nothing is sent without a reason.
// With --all it goes to every stage that a filter means (support/decide-all.ts).
// Apart as every command: arguments, one call, output.
import type { Pool } from 'pg';
import { parseDuration } from '../model/duration.ts';
import { workflowId } from '../model/ids.ts';
import type { Decision, DecisionKind } from '../model/messages.ts';
import { shellWord, startCommand } from '../model/shell.ts';
import { findRun, parksOf, totalsOf, unreadOf } from '../store/reads.ts';
import { listStalled } from '../store/stalled.ts';
import type { FilterOptions } from './support/decide-all.ts';
import { CommandError, type Exit } from './support/exit-codes.ts';
import { runOrAccepted, withoutPrefix } from './support/find-run.ts';
import { wholeOf } from './support/numbers.ts';
import { lossLine } from './support/report.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import { escaped, moment } from './support/terminal.ts';

interface Options extends FilterOptions {
  readonly reason: string;
  readonly token?: string;
  readonly attempts?: string;
  readonly time?: string;
  readonly all?: boolean;
}

/** As what is sent may hold (model/messages.ts). */
const TIME_MAX_MS = 366 * 86_400_000;

const summaries: Record<DecisionKind, string> = {
  retry: 'try a parked stage again now, with its whole budget',
  skip: 'go on without a parked stage, where its pipeline declares what it then gives',
  'extend-budget': 'give a stage more attempts or time, also while it still tries',
  'accept-loss': 'give up what the question says would be lost, and go on',
  abort: 'end a run; committed data stays, the rest is given up unread',
};

export const registerDecide: Register = (program, act) => {
  for (const [kind, summary] of Object.entries(summaries) as [DecisionKind, string][]) {
    const command = program
      .command(kind)
      .summary(summary)
      .argument('[run]', 'the run, or how only one run begins or ends; left out with --all');
    if (kind !== 'abort')
      command.argument('[stage]', 'stage, such as ingest[a.log]; may be left out where only one waits');
    command.requiredOption('--reason <text>', 'why; kept with who and when');
    if (kind !== 'abort')
      command.option('--token <token>', 'the question that is meant; default: the one that is open now');
    if (kind === 'extend-budget')
      command
        .option('--attempts <number>', 'attempts to add')
        .option('--time <duration>', 'time to add, such as "10 minutes"');
    command
      .option('--all', 'decide for every stage that asks and fits what follows; lists them and asks first')
      .option('--pipeline <name>', 'with --all: only of this pipeline')
      .option('--code <code>', 'with --all: only where it failed with this code, such as http_401')
      .option('--class <class>', 'with --all: only where it failed with this class, such as permanent')
      .option('--upstream <key>', 'with --all: only where this upstream failed')
      .option('--since <time>', 'with --all: only what waits since then or later: "12 hours" (ago), 2026-11-21')
      .option('--also-parked', 'with --all: also what goes on by itself, by time or with its upstream')
      .option('--dry-run', 'with --all: only list what fits')
      .option('--yes', 'with --all: do not ask')
      .option('--json', 'print JSON');
    command.action(
      kind === 'abort'
        ? act((session, run: string | undefined, options: Options) => decide(session, kind, run, undefined, options))
        : act((session, run: string | undefined, stage: string | undefined, options: Options) =>
            decide(session, kind, run, stage, options),
          ),
    );
  }
};

/** Options that only a filter has. */
const filters = ['pipeline', 'code', 'class', 'upstream', 'since', 'alsoParked', 'dryRun', 'yes'] as const;

async function decide(
  session: Session,
  kind: DecisionKind,
  run: string | undefined,
  stage: string | undefined,
  options: Options,
): Promise<Exit> {
  const extension = extensionOf(kind, options);
  if (options.reason.trim() === '' || options.reason.length > 500)
    throw new CommandError('usage', '--reason has to say why, in at most 500 characters. Nothing was decided.');
  const all = options.all === true;
  if (all && (run !== undefined || options.token !== undefined))
    throw new CommandError('usage', 'Name a run, or give --all with a filter; not both. Nothing was decided.');
  if (!all && filters.some((name) => options[name] !== undefined))
    throw new CommandError(
      'usage',
      'A filter, --dry-run and --yes are for many runs at once and need --all; one run is decided as it is named. Nothing was decided.',
    );
  if (all) {
    const { decideAll } = await import('./support/decide-all.ts');
    const decision = { kind, reason: options.reason, actor: session.config.actor, ...extension };
    return await decideAll(session, decision, options);
  }
  if (run === undefined)
    throw new CommandError(
      'usage',
      `Which run? Name it, or give --all with a filter. Nothing was decided. See \`mendflow help ${kind}\`.`,
    );
  return await decideOne(session, { kind, run, stage, extension }, options);
}

interface Written {
  readonly kind: DecisionKind;
  readonly run: string;
  readonly stage: string | undefined;
  readonly extension: Pick<Decision, 'attempts' | 'timeMs'>;
}

async function decideOne(
  session: Session,
  { kind, run: written, stage, extension }: Written,
  options: Options,
): Promise<Exit> {
  const connected = await session.connected();
  const { control } = connected;
  const { prefix, actor } = session.config;
  // A run that is unknown to the ledger can still be aborted.
  const found = await runOrAccepted(session, control, written).catch((error: unknown) => {
    if (error instanceof CommandError && error.exit === 'notFound') return undefined;
    throw error;
  });
  const accepted = found !== undefined && 'accepted' in found ? found.accepted : undefined;
  const row = found !== undefined && 'accepted' in found ? undefined : found;
  const run = row?.run ?? accepted?.run ?? withoutPrefix(prefix, written);
  const [stalled] = await listStalled(control, 1, run);
  if (stalled) {
    const { decideStalled } = await import('./support/stalled.ts');
    return await decideStalled(session, connected, {
      kind,
      reason: options.reason,
      actor,
      stalled,
    });
  }
  if (accepted?.begun === false) {
    const { decideAccepted } = await import('./support/accepted.ts');
    const { reason } = options;
    return await decideAccepted(session, connected, accepted, { kind, reason, actor, json: options.json === true });
  }
  const target = kind === 'abort' ? {} : await questionOf(session, run, stage, options.token);
  const decision: Decision = { kind, ...target, reason: options.reason, actor, ...extension };
  const loses = kind === 'accept-loss' || kind === 'skip' ? await lossAt(control, run, target.stage) : undefined;
  const { sendDecision } = await import('./support/decision.ts');
  const answer = await sendDecision(connected, {
    run,
    workflowId: row?.workflowId ?? workflowId(prefix, run),
    decision,
    signal: session.signal,
  }).catch(async (error: unknown) => {
    if (error instanceof CommandError && error.exit === 'notFound') throw await gone(session, run);
    throw error;
  });
  const { at, ...said } = answer;
  const when = at === undefined ? undefined : new Date(at);
  if (options.json === true)
    session.terminal.json({ run, kind, ...said, ...(when ? { at: when } : {}), ...(loses ? { givenUp: loses } : {}) });
  else if (answer.taken) {
    const taken = answer.already === true ? `Already taken${when ? ` at ${moment(when)}` : ''}` : 'Taken';
    session.terminal.line(`${session.terminal.style('green', taken)}: ${escaped(answer.text)}`);
    if (loses && answer.already !== true) for (const line of givenUp(kind, loses)) session.terminal.line(`  ${line}`);
    session.terminal.line(`  follow  mendflow show ${shellWord(run)}`);
  } else
    session.terminal.note(
      `Refused: ${escaped(answer.text)}\nNothing was changed. See \`mendflow show ${shellWord(run)}\`.`,
    );
  return answer.taken ? 'ok' : 'refused';
}

/** What skipping this stage, or accepting its loss, gives up, as far as it is known before; at the end of a run all that is bad in it. */
async function lossAt(
  store: Pool,
  run: string,
  stage: string | undefined,
): Promise<{ records: number; bytes: number } | undefined> {
  if (stage === undefined) return undefined;
  if (stage.startsWith('mendflow:')) return { records: (await totalsOf(store, run)).quarantined, bytes: 0 };
  return { records: 0, bytes: (await unreadOf(store, [run])).get(run)?.get(stage) ?? 0 };
}

/** A skip of a stage that has planned nothing gives up nothing that could be counted. */
const givenUp = (kind: DecisionKind, loss: { records: number; bytes: number }): string[] => {
  if (loss.records + loss.bytes > 0)
    return [`given up  ${lossLine(loss)}`, ...(kind === 'skip' ? ['kept      rows that are loaded stay'] : [])];
  return kind === 'skip'
    ? []
    : ['given up  what the question says; how much it is, is counted when the run ends, and `show` says it then'];
};

/** Fills in stage and token where the store knows exactly one that can be meant; otherwise the run itself says what is missing. */
async function questionOf(
  session: Session,
  run: string,
  stage: string | undefined,
  token: string | undefined,
): Promise<Pick<Decision, 'stage' | 'token'>> {
  const parks = await parksOf(await session.store(), run);
  const meant = parks.filter(
    (park) => (stage === undefined || park.stage === stage) && (token === undefined || park.token === token),
  );
  const only = meant.length === 1 ? meant[0] : undefined;
  const named = stage ?? only?.stage;
  const known = token ?? only?.token;
  return { ...(named === undefined ? {} : { stage: named }), ...(known === undefined ? {} : { token: known }) };
}

function extensionOf(kind: DecisionKind, { attempts, time }: Options): Pick<Decision, 'attempts' | 'timeMs'> {
  if (kind !== 'extend-budget') return {};
  const faults: string[] = [];
  const more = attempts === undefined ? undefined : wholeOf(attempts, 1, 1_000);
  if (attempts !== undefined && more === undefined)
    faults.push(`--attempts has to be a whole number from 1 to 1,000, and is "${attempts}".`);
  const timeMs = time === undefined ? undefined : parseDuration(time);
  if (time !== undefined && !(timeMs !== undefined && timeMs > 0 && timeMs <= TIME_MAX_MS))
    faults.push(`--time has to be a duration such as "10 minutes", of a year at most, and is "${time}".`);
  if (attempts === undefined && time === undefined)
    faults.push('extend-budget needs something to add: --attempts 4, --time "10 minutes", or both.');
  if (faults.length > 0)
    throw new CommandError('usage', `${faults.join('\n')}\nNothing was decided. See \`mendflow help extend-budget\`.`);
  return {
    ...(more === undefined ? {} : { attempts: more }),
    ...(timeMs === undefined ? {} : { timeMs: Math.ceil(timeMs) }),
  };
}

/** Temporal has no open run of this name; the ledger knows whether there was one. */
async function gone(session: Session, run: string): Promise<CommandError> {
  const row = await findRun(await session.store(), run);
  if (!row)
    return new CommandError('notFound', `There is no run "${run}". Nothing was decided. See \`mendflow runs\`.`);
  const open = row.state === 'running' || row.state === 'parked' || row.state === 'asking';
  return new CommandError(
    'refused',
    open
      ? `${run} is ${row.state} in the ledger, but no workflow works it any more: it was terminated or its history was removed. Nothing was decided. Start it again: \`${startCommand(row)}\`; what is committed stays and is not loaded twice.`
      : `${run} is ${row.state}; there is nothing left to decide. ${row.state === 'done' || row.state === 'degraded' ? `\`${startCommand(row, '--force')}\` processes it again` : `\`${startCommand(row)}\` works what is left`}; \`mendflow show ${shellWord(run)}\` says how it ended.`,
  );
}
