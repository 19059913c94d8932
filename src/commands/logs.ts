// What lives here: `mendflow logs <run>`: what went wrong, what waited, who decided, in order.
// Invariant: read from the control store; lines of workers are added only on request, and nothing in them reaches a terminal unescaped.
// Apart as every command: arguments, one call, output.
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { workflowId } from '../model/ids.ts';
import { nth, spent } from '../model/attempts.ts';
import { inWords } from '../model/duration.ts';
import { stackStatus } from '../stack/index.ts';
import {
  type AttemptRow,
  attemptsOf,
  decisionsOf,
  type LostAttempts,
  lostAttemptsOf,
  type RunRow,
  type ToldPark,
  toldParksOf,
} from '../store/reads.ts';
import { decisionLine } from './show.ts';
import type { Exit } from './support/exit-codes.ts';
import { runOrAccepted } from './support/find-run.ts';
import { lostWords } from './support/lost.ts';
import { readLimit } from './support/numbers.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import { escaped, moment } from './support/terminal.ts';

interface Options {
  readonly limit: string;
  readonly worker?: boolean;
  readonly json?: boolean;
}

export const registerLogs: Register = (program, act) => {
  program
    .command('logs')
    .summary('failed attempts, parks and decisions of a run, in order')
    .argument('<run>', 'the run, or how only one run begins or ends')
    .option('--limit <number>', 'of each kind the latest so many', '200')
    .option('--worker', "add the lines about the run from the logs of this stack's workers")
    .option('--json', 'print JSON')
    .action(act((session, run: string, options: Options) => logs(session, run, options)));
};

interface Entry {
  readonly at: Date;
  readonly what: 'opened' | 'attempt' | 'park' | 'decision' | 'closed';
  readonly stage: string;
  readonly text: string;
  /** Of a park; null while it goes on. */
  readonly endedAt?: Date | null;
}

async function logs(session: Session, written: string, options: Options): Promise<Exit> {
  const store = await session.store();
  const row = await runOrAccepted(session, store, written);
  if ('accepted' in row) {
    const { tellAccepted } = await import('./support/accepted.ts');
    return await tellAccepted(session, row.accepted, options.json === true);
  }
  const limit = readLimit(options.limit);
  const entries = await entriesOf(session, row, limit);
  const lines = options.worker === true ? await workerLines(session, row, limit) : undefined;
  const { terminal } = session;
  if (options.json === true) {
    terminal.json({ run: row.run, entries, ...(lines === undefined ? {} : { workers: lines }) });
    return 'ok';
  }
  for (const { at, what, stage, text } of entries)
    terminal.line(
      `${terminal.style('dim', moment(at))}  ${what.padEnd(8)}  ${stage === '' ? '' : `${escaped(stage)}  `}${text}`,
    );
  for (const { worker, line } of lines ?? []) terminal.line(`${terminal.style('dim', worker)}  ${escaped(line)}`);
  return 'ok';
}

async function entriesOf(session: Session, row: RunRow, limit: number): Promise<Entry[]> {
  const store = await session.store();
  const [attempts, lost, parks, decisions] = await Promise.all([
    attemptsOf(store, row.run, limit),
    lostAttemptsOf(store, row.run),
    toldParksOf(store, row.run, limit),
    decisionsOf(store, row.run, limit),
  ]);
  const entries: Entry[] = [
    { at: row.openedAt, what: 'opened', stage: '', text: `generation ${row.generation}` },
    // At one moment those that were lost come first: the attempt that was seen began after them.
    ...lost.map((one) => lostEntry(one, row.run)),
    ...attempts.map((one, index) => attemptEntry(one, attempts.slice(0, index).findLast(isBefore(one)))),
    ...parks.map(parkEntry),
    ...decisions.map((one): Entry => ({ at: one.at, what: 'decision', stage: '', text: decisionLine(one) })),
    ...(row.closedAt === null ? [] : [{ at: row.closedAt, what: 'closed', stage: '', text: row.state } as const]),
  ];
  return entries.toSorted((a, b) => a.at.getTime() - b.at.getTime());
}

function parkEntry(park: ToldPark): Entry {
  const { since, stage, code, attempts, elapsedMs, token, endedAt } = park;
  const text = `${endedAt === null ? waitsFor(park) : waitedUntil(park, moment(endedAt))}: ${code} after ${spent(attempts, elapsedMs)}, token ${token}`;
  return { at: since, what: 'park', stage, text, endedAt };
}

function waitsFor({ until, upstream, wakeAt }: ToldPark): string {
  if (until === 'decision') return 'asks';
  if (until === 'upstream') return `waits for ${escaped(upstream ?? 'its upstream')}`;
  return wakeAt === null ? 'waits' : `waits until ${moment(wakeAt)}`;
}

/** A wait for a time ends before it where somebody decides so. */
function waitedUntil({ until, upstream, wakeAt }: ToldPark, ended: string): string {
  if (until === 'decision') return `asked until ${ended}`;
  if (until === 'upstream') return `waited for ${escaped(upstream ?? 'its upstream')} until ${ended}`;
  return `waited until ${ended}${wakeAt !== null && ended < moment(wakeAt) ? ` instead of ${moment(wakeAt)}` : ''}`;
}

const lostEntry = (one: LostAttempts, run: string): Entry => ({
  at: one.at,
  what: 'attempt',
  stage: one.stage,
  text: lostWords(one, run, ' (worker_lost)'),
});

const isBefore = (one: AttemptRow) => (other: AttemptRow) =>
  other.stage === one.stage && other.generation === one.generation;

/** Where there are more attempts than before, it is said why. */
function attemptEntry(one: AttemptRow, before: AttemptRow | undefined): Entry {
  const { at, stage, attempt, attemptsMax, code, class: cls, text, nextTryAt, worker } = one;
  const stops = cls === 'permanent' || cls === 'data' ? 'Not tried again by itself' : 'The last try for now';
  const next =
    nextTryAt === null
      ? stops
      : `Next try at ${moment(nextTryAt)}, ${inWords(nextTryAt.getTime() - at.getTime())} later`;
  const attemptBase = before === undefined || before.attemptsMax === attemptsMax ? 0 : before.attempt;
  const number = nth(attempt, { attemptBase, attemptsMax: attemptsMax - attemptBase, timeMs: 0 });
  return {
    at,
    what: 'attempt',
    stage,
    text: `${number} failed with ${code} (${cls}): ${escaped(text)} ${next}; worker ${escaped(worker)}`,
  };
}

/** Of a long log only its end is read: what happened last is what one looks for. */
const TAIL_BYTES = 4 * 1024 * 1024;

async function workerLines(session: Session, row: RunRow, limit: number): Promise<{ worker: string; line: string }[]> {
  const { workers } = await stackStatus({ dir: session.config.dir });
  const id = row.workflowId ?? workflowId(session.config.prefix, row.run);
  if (workers.length === 0)
    session.terminal.note(
      `The stack in ${session.config.dir} has no workers; logs of other workers are where they run, of \`mendflow dev\` in its terminal.`,
    );
  const found = workers.flatMap(({ name, logFile }) =>
    endOf(logFile)
      .split('\n')
      // As in JSON, where the run ends with its quote: another run may begin with the same words.
      .filter((line) => line.includes(JSON.stringify(row.run).slice(1)) || line.includes(JSON.stringify(id)))
      .map((line) => ({ worker: name, line: readable(line) })),
  );
  if (workers.length > 0 && found.length === 0)
    session.terminal.note(
      "No worker's log has anything about this run: a worker was killed or froze; see mendflow stack status.",
    );
  return found.slice(-limit);
}

const levels: Readonly<Record<number, string>> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };

/** Of a worker's JSON line what a person reads: when, how bad, what, and the fields that say where. Anything else stays as it is. */
function readable(line: string): string {
  let entry: Readonly<Record<string, unknown>>;
  try {
    entry = JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return line;
  }
  const shown = ['activityType', 'stage', 'attempt', 'code', 'error']
    .flatMap((name) =>
      typeof entry[name] === 'string' || typeof entry[name] === 'number' ? [`${name}=${entry[name]}`] : [],
    )
    .join(' ');
  const at = typeof entry['time'] === 'number' ? `${moment(new Date(entry['time']))} ` : '';
  const said = typeof entry['msg'] === 'string' ? entry['msg'] : '';
  return `${at}${levels[Number(entry['level'])] ?? 'info'} ${said} ${shown}`.trim();
}

function endOf(file: string): string {
  if (!existsSync(file)) return '';
  const fd = openSync(file, 'r');
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
    const read = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
    return bytes.subarray(0, read).toString('utf8');
  } finally {
    closeSync(fd);
  }
}
