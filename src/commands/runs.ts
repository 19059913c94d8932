// What lives here: `mendflow runs`.
// Invariant: reads the control store, so it answers while nothing else does; Temporal is asked only while no worker lives, and need not answer. Text and JSON name the same runs.
// Apart as every command: arguments, one call, output.
import type { Pool } from 'pg';
import { couldBeDataDate } from '../model/data-date.ts';
import { devsOf, stackWorkers } from '../stack/index.ts';
import { knownOf, listRuns, openOf, type RunListRow, someWorkerLives } from '../store/reads.ts';
import { listStalled, type Stalled } from '../store/stalled.ts';
import { CommandError, type Exit } from './support/exit-codes.ts';
import { readLimit } from './support/numbers.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import { counted, escaped, moment, type Style } from './support/terminal.ts';

interface Options {
  readonly pipeline?: string;
  readonly state?: string;
  readonly date?: string;
  readonly limit: string;
  readonly json?: boolean;
}

const states = ['running', 'parked', 'asking', 'done', 'degraded', 'aborted', 'failed'];

export const registerRuns: Register = (program, act) => {
  program
    .command('runs')
    .summary('list runs, newest first')
    .description('Lists runs from the control store, newest first.')
    .option('--pipeline <name>', 'only of this pipeline')
    .option('--state <state>', `only in this state: ${states.join(', ')}`)
    .option('--date <date>', 'only of this data date')
    .option('--limit <number>', 'at most so many', '50')
    .option('--json', 'print JSON')
    .action(act((session, options: Options) => runs(session, options)));
};

async function runs(session: Session, { pipeline, state, date, limit, json }: Options): Promise<Exit> {
  if (state !== undefined && !states.includes(state))
    throw new CommandError('usage', `There is no state "${state}"; there is ${states.join(', ')}.`);
  if (date !== undefined && !couldBeDataDate(date))
    throw new CommandError(
      'usage',
      `--date has to be a data date such as 2026-11-21, 2026-11-21T13 for hours, or none, and is "${date}". Nothing was changed.`,
    );
  const store = await session.store();
  const limitMax = readLimit(limit);
  const found = await listRuns(store, { pipeline, state, dataDate: date, limit: limitMax + 1 });
  const rows = found.slice(0, limitMax);
  const { terminal } = session;
  // Also of runs that no worker could open, which the list cannot have.
  const stalled = await listStalled(store, json === true ? limitMax : NAMED_MAX);
  const waiting = state === undefined ? await notBegun(session, { pipeline, date }) : [];
  if (json === true) {
    const accepted = state === undefined ? await acceptedRows(store, { waiting, stalled, pipeline, date }) : [];
    terminal.json([...accepted, ...rows.map(publicRow)].slice(0, limitMax));
    return 'ok';
  }
  if (rows.length === 0 && stalled.length === 0 && waiting.length === 0) {
    terminal.note(
      `No run${pipeline === undefined && state === undefined && date === undefined ? ' yet. Start one with `mendflow start <pipeline>`; `mendflow pipelines` lists what there is.' : ' fits.'}`,
    );
    return 'ok';
  }
  if (rows.length > 0) writeTable(terminal, rows);
  for (const one of stalled) {
    terminal.line(`${terminal.style('red', 'Stalled')} ${escaped(one.run)}: ${escaped(one.text)}`);
    terminal.line(`  ${escaped(one.mend)}`);
  }
  if (waiting.length > 0) await tellNotBegun(session, waiting);
  if (found.length > limitMax) terminal.note(`Only the latest ${rows.length} are shown; --limit shows more.`);
  return 'ok';
}

function writeTable(terminal: Session['terminal'], rows: readonly RunListRow[]): void {
  terminal.table(
    // The four after READ add up to it.
    ['RUN', 'STATE', 'READ', 'LOADED', 'DUPLICATE', 'QUARANTINED', 'SKIPPED', 'OPENED', 'WAITS OR NOTES'],
    rows.map((row) => [
      escaped(row.run),
      row.stalled === null ? terminal.style(styles[row.state], row.state) : terminal.style('red', 'stalled'),
      counted(row.read),
      counted(row.loaded),
      counted(row.duplicate),
      counted(row.quarantined),
      counted(row.skipped),
      moment(row.openedAt),
      escaped(row.stalled ?? row.waiting ?? noteOf(row)),
    ]),
  );
}

/** The store does not know them. While a worker lives there are none for long, and Temporal's client costs more than all the rest of this command. */
async function notBegun(session: Session, asked: Asked): Promise<readonly string[]> {
  const { temporal, dir } = session.config;
  const store = await session.store();
  const lives =
    temporal === undefined
      ? stackWorkers(dir).some(({ alive }) => alive) || devsOf(dir).length > 0
      : await someWorkerLives(store);
  if (lives) return [];
  const { openInTemporal } = await import('./support/accepted.ts');
  const open = await openInTemporal(session);
  const known = await openOf(store, open);
  return open.filter((run) => !known.has(run) && isAsked(run, asked));
}

interface Asked {
  readonly pipeline: string | undefined;
  readonly date: string | undefined;
}

function isAsked(run: string, { pipeline, date }: Asked): boolean {
  const [of, on] = run.split('/');
  return (pipeline === undefined || of === pipeline) && (date === undefined || on === date);
}

async function tellNotBegun({ terminal, config }: Session, waiting: readonly string[]): Promise<void> {
  const { workerBy } = await import('./support/accepted.ts');
  const named = waiting.slice(0, NAMED_MAX).map(escaped).join(', ');
  const more = waiting.length > NAMED_MAX ? ` and ${counted(waiting.length - NAMED_MAX)} more` : '';
  terminal.line(
    `${terminal.style('yellow', waiting.length === 1 ? '1 run is accepted by Temporal and waits for a worker' : `${counted(waiting.length)} runs are accepted by Temporal and wait for a worker`)}: ${named}${more}. ${workerBy(config.dir)}`,
  );
}

/** Of a run that read nothing why, in a few words; of any other how much `show` has to say. */
function noteOf({ note, notes, read }: RunListRow): string {
  if (note === null) return '';
  if (read > 0) return `${notes} note${notes === 1 ? '' : 's'} in \`show\``;
  return `${note.split(/[.:;](?= |$)/)[0]!}${notes === 1 ? '' : ` (and ${notes - 1} more in \`show\`)`}`;
}

/** Of each kind of run below the table. */
const NAMED_MAX = 10;

const styles: Record<RunListRow['state'], Style> = {
  running: 'cyan',
  parked: 'yellow',
  asking: 'yellow',
  done: 'green',
  degraded: 'yellow',
  aborted: 'dim',
  failed: 'red',
};

/** A row of the list as scripts see it. */
function publicRow(row: RunListRow) {
  const { run, pipeline, dataDate, generation, state, health, owner, read, loaded, duplicate, quarantined, skipped } =
    row;
  const { waiting, stalled, note, openedAt, closedAt } = row;
  return {
    run,
    pipeline,
    dataDate,
    generation,
    state,
    health,
    owner,
    read,
    loaded,
    duplicate,
    quarantined,
    skipped,
    waiting,
    stalled,
    note,
    openedAt,
    closedAt,
  };
}

/** As rows of the list: runs that no worker has begun, and those that none could open. */
async function acceptedRows(
  store: Pool,
  { waiting, stalled, ...asked }: Asked & { readonly waiting: readonly string[]; readonly stalled: readonly Stalled[] },
) {
  const causes = new Map(stalled.map(({ run, cause }) => [run, cause]));
  const known = await knownOf(store, [...causes.keys()]);
  const unopened = [...causes.keys()].filter((run) => !known.has(run) && isAsked(run, asked));
  return [...new Set([...waiting, ...unopened])].map((run) => {
    const [pipeline, dataDate] = run.split('/');
    return {
      run,
      pipeline,
      dataDate,
      generation: null,
      state: 'accepted',
      health: null,
      owner: null,
      read: 0,
      loaded: 0,
      duplicate: 0,
      quarantined: 0,
      skipped: 0,
      waiting: null,
      stalled: causes.get(run) ?? null,
      note: null,
      openedAt: null,
      closedAt: null,
    };
  });
}
