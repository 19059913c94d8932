// What lives here: a run as `start --wait --json` prints it, and what it asks with the commands ready to copy.
// Invariant: every figure is counted from the ledger; every command carries the token of the question it answers.
// Apart because start, show and logs say the same thing about the same run.
import type { Pool } from 'pg';
import { type DecisionKind, decisionKinds, type Totals } from '../../model/messages.ts';
import type { AnySpec } from '../../model/spec.ts';
import { offered } from '../../model/verdict.ts';
import { spent } from '../../model/attempts.ts';
import { inWords } from '../../model/duration.ts';
import { shellWord } from '../../model/shell.ts';
import {
  type ParkRow,
  type Progress,
  parksOf,
  type RunRow,
  type StageRow,
  stagesOf,
  totalsOf,
  unreadOf,
} from '../../store/reads.ts';
import { notesOf } from '../../store/notes.ts';
import { counted, escaped, moment } from './terminal.ts';

export interface RunReport extends Totals {
  readonly run: string;
  readonly state: string;
  readonly stages: readonly StageReport[];
  readonly links: { readonly ui?: string };
  readonly generation: number;
  /** Where a loss was accepted: records and rows, as far as they can be counted, and bytes of which nothing is loaded. */
  readonly lost?: { readonly records: number; readonly bytes: number };
  /** What it has to say besides its figures, such as which run loaded a file before. */
  readonly notes: readonly string[];
  /** Only where the run asks. */
  readonly asks?: readonly Question[];
}

/** `seconds` without what it waited; what it waited only where it did. */
interface StageReport {
  readonly stage: string;
  readonly state: string;
  readonly attempts: number;
  readonly seconds: number;
  readonly parkedSeconds?: number;
  readonly askedSeconds?: number;
  readonly code?: string;
}

export interface Question {
  readonly stage: string;
  readonly token: string;
  readonly code: string;
  readonly text: string;
  readonly commands: readonly string[];
  /** Bytes that a skip or an accepted loss would give up unread; only where there are any. */
  readonly unread?: number;
}

/** Counts the run as it is now. */
export async function reportOf(
  pool: Pool,
  row: Pick<RunRow, 'run' | 'generation'> & Partial<Pick<RunRow, 'state' | 'closed'>>,
  state: string,
  more: { ui?: string | undefined; asks?: readonly Question[] } = {},
): Promise<RunReport> {
  const [{ read, loaded, duplicate, quarantined, skipped }, stages, notes] = await Promise.all([
    totalsOf(pool, row.run),
    stagesOf(pool, row.run, row.generation),
    notesOf(pool, row.run),
  ]);
  return {
    run: row.run,
    state,
    read,
    loaded,
    duplicate,
    quarantined,
    skipped,
    stages: stages.map((one) => ({
      stage: one.stage,
      state: one.state,
      attempts: one.attempts,
      seconds: toMs(one.seconds),
      ...(one.parkedSeconds > 0 ? { parkedSeconds: toMs(one.parkedSeconds) } : {}),
      ...(one.askedSeconds > 0 ? { askedSeconds: toMs(one.askedSeconds) } : {}),
      ...(one.code === null ? {} : { code: one.code }),
    })),
    links: more.ui === undefined ? {} : { ui: more.ui },
    generation: row.generation,
    ...(row.state === 'degraded' ? { lost: lossOf(row) } : {}),
    notes,
    ...(more.asks === undefined ? {} : { asks: more.asks }),
  };
}

const toMs = (seconds: number): number => Math.round(seconds * 1_000) / 1_000;

/** `2 min, parked 1 h, waited 9 h for a decision`: what a stage worked, its retries included, and what it waited. */
export function timeLine({
  seconds,
  parkedSeconds,
  askedSeconds,
}: Pick<StageRow, 'seconds' | 'parkedSeconds' | 'askedSeconds'>): string {
  return [
    inWords(seconds * 1_000),
    ...(parkedSeconds > 0 ? [`parked ${inWords(parkedSeconds * 1_000)}`] : []),
    ...(askedSeconds > 0 ? [`waited ${inWords(askedSeconds * 1_000)} for a decision`] : []),
  ].join(', ');
}

/** What was lost of a run that is degraded. */
export const lossOf = ({ closed }: Partial<Pick<RunRow, 'closed'>>): { records: number; bytes: number } => ({
  records: closed?.balance?.lost ?? 0,
  bytes: (closed?.balance?.uncountedBytes ?? 0) + (closed?.leftBytes ?? 0),
});

/** `lost: 12 records or rows and 3,456 bytes of which nothing is loaded`. */
export function lossLine({ records, bytes }: { readonly records: number; readonly bytes: number }): string {
  const parts = [
    ...(records > 0 ? [`${counted(records)} records or rows`] : []),
    ...(bytes > 0
      ? [`${counted(bytes)} bytes of which nothing is loaded (how many records they hold is unknown)`]
      : []),
  ];
  return parts.length === 0 ? 'a loss was accepted that nobody can count' : `lost: ${parts.join(' and ')}`;
}

/** Of a run that is over: green means loaded, so whoever starts it again reads what was given up, too. */
export const doneAlready = (row: Pick<RunRow, 'state' | 'closed'>): string =>
  row.state === 'degraded' ? `done already, but degraded (${lossLine(lossOf(row))})` : 'done already';

/** What the run asks now, oldest first. */
export async function questionsOf(pool: Pool, run: string, spec: AnySpec | undefined): Promise<Question[]> {
  const parks = (await parksOf(pool, run)).filter(({ until }) => until === 'decision');
  const unread = parks.length > 0 ? (await unreadOf(pool, [run])).get(run) : undefined;
  return parks.map(({ stage, token, code, text, acceptsLoss }) => {
    const commands = commandsOf(run, { stage, token, code, acceptsLoss }, spec);
    const cost = costOf(commands, unread?.get(stage));
    return { stage, token, code, text, commands, ...(cost.unread > 0 ? cost : {}) };
  });
}

/** Those of these commands that give up what is not read. */
const givers = (commands: readonly string[]): DecisionKind[] =>
  (['skip', 'accept-loss'] as const).filter((kind) =>
    commands.some((command) => command.startsWith(`mendflow ${kind} `)),
  );

/** These commands, and the bytes that some of them would give up unread. */
export const costOf = (
  commands: string[],
  unread: number | undefined,
): { readonly commands: string[]; readonly unread: number } => ({
  commands,
  unread: givers(commands).length > 0 ? (unread ?? 0) : 0,
});

/** What these commands cost beyond what is known to be bad. */
export const wouldGiveUp = (bytes: number, commands: readonly string[]): string =>
  `${givers(commands).join(' as well as ')} would give up ${counted(bytes)} bytes of which nothing is loaded, the good records in them included.`;

/** What a correction needs before a retry can meet it: a worker keeps its code until it is replaced. Empty where the code is not at fault. */
export const correctionLine = (code: string): string =>
  code === 'code_bug'
    ? 'Workers that run keep the code that they started with. After the correction `mendflow stack up` replaces them, since files of the project changed (`mendflow dev` does so by itself); then retry.'
    : '';

const effects: Readonly<Record<DecisionKind, string>> = {
  retry: 'tries the stage again now, with its whole budget',
  'extend-budget': 'tries it again now, with the attempts that you add',
  skip: 'goes on without the stage and what it has not loaded, and rows already loaded stay',
  'accept-loss': 'gives up what the question says would be lost, and the run ends degraded',
  abort: 'ends the run, and what is loaded stays',
};

/** What the kinds among these commands do: `retry tries the stage again now, …; abort ends the run, …`. `refusing`: upstreams that let no call through, as `http:api is open`. */
export const effectsLine = (commands: readonly string[], refusing: readonly string[] = []): string =>
  `${decisionKinds
    .filter((kind) => commands.some((command) => command.startsWith(`mendflow ${kind} `)))
    .map(
      (kind) =>
        `${kind} ${effects[kind]}${kind === 'retry' || kind === 'extend-budget' ? unlessRefused(refusing) : ''}`,
    )
    .join('; ')}.`;

/** ` (but makes no call while http:api is open, and waits again)`: said before somebody decides, as the answer says it after. */
const unlessRefused = (refusing: readonly string[]): string =>
  refusing.length === 0 ? '' : ` (but makes no call while ${refusing.join(' and ')}, and waits again)`;

/** Ready to copy. Without the spec (another project's pipeline) all kinds are offered; the run refuses what does not fit. */
export function commandsOf(
  run: string,
  park: Pick<ParkRow, 'stage' | 'token' | 'code' | 'acceptsLoss'>,
  spec: AnySpec | undefined,
): string[] {
  const policy = spec?.stages[park.stage.split('[')[0]!];
  const { stage, token, code, acceptsLoss } = park;
  const skips = spec === undefined || policy?.onSkip !== undefined;
  return offered({ stage, code, skips, acceptsLoss }).map((kind) =>
    kind === 'abort'
      ? `mendflow abort ${shellWord(run)} --reason "…"`
      : `mendflow ${kind} ${shellWord(run)} ${shellWord(stage)} --token ${token} --reason "…"${kind === 'extend-budget' ? ' --attempts 4' : ''}`,
  );
}

/** `read 1,000 = loaded 990 + duplicate 0 + quarantined 10 + skipped 0`. */
export const balanceLine = (bins: Totals): string =>
  `read ${counted(bins.read)} = loaded ${counted(bins.loaded)} + duplicate ${counted(bins.duplicate)} + quarantined ${counted(bins.quarantined)} + skipped ${counted(bins.skipped)}`;

/** `63 % of 512 MiB planned so far, 21,000 records a second`; empty where there is nothing to say. */
export function progressLine({ bytesPlanned, bytesDone, recordsLately, secondsLately }: Progress): string {
  const parts = [
    ...(bytesPlanned > 0
      ? [`${Math.floor((100 * bytesDone) / bytesPlanned)} % of ${sizeOf(bytesPlanned)} planned so far`]
      : []),
    // A rate over less than a second would be a guess.
    ...(secondsLately >= 1 ? [`${counted(Math.round(recordsLately / secondsLately))} records a second`] : []),
  ];
  return parts.join(', ');
}

function sizeOf(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const unit = bytes < 1_024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1_024 ** unit;
  return `${unit === 0 || value >= 100 ? counted(Math.round(value)) : value.toFixed(1)} ${units[unit]}`;
}

/** One sentence on what a park waits for. */
export function waitLine(park: ParkRow, now: number): string {
  const tried = spent(park.attempts, park.elapsedMs);
  const since = `since ${moment(park.since)}`;
  if (park.until === 'decision') return `asks ${since}, after ${tried}: ${park.code}`;
  const at = (when: Date): string =>
    when.getTime() > now ? `${moment(when)} (in ${inWords(when.getTime() - now)})` : `${moment(when)} (now due)`;
  if (park.until === 'time')
    return `waits for a time ${since}, after ${tried}: ${park.code}${park.wakeAt === null ? '' : `; next try by itself at ${at(park.wakeAt)}`}`;
  const name = park.upstream === null ? 'its upstream' : escaped(park.upstream);
  const next =
    park.held !== null
      ? `does not go on by time alone, which does not heal ${escaped(park.held)}`
      : park.releasedAt === null
        ? 'goes on by itself when its breaker admits it'
        : 'was let go, and goes on now';
  const end = park.deadlineAt === null ? '' : `; asks at ${at(park.deadlineAt)}, the deadline of the run`;
  return `waits for ${name} ${since}, after ${tried}: ${park.code}; ${next}${end}`;
}
