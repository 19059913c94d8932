// What lives here: waiting for a run, and telling what happens while it does.
// Invariant: it returns when the run is done, failed, aborted or asks; it never waits in silence for something only a person can do.
// Apart because the end of a run comes from Temporal, and all that is told on the way comes from the control store.
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure, TerminatedFailure } from '@temporalio/common';
import type { Pool } from 'pg';
import type { RunSummary } from '../../model/messages.ts';
import { shellWord } from '../../model/shell.ts';
import { devsOf, stackStatus } from '../../stack/index.ts';
import {
  findRun,
  type ParkRow,
  parksOf,
  type Progress,
  progressOf,
  type StageRow,
  stagesOf,
} from '../../store/reads.ts';
import { CommandError } from './exit-codes.ts';
import { balanceLine, progressLine, timeLine } from './report.ts';
import { escaped, moment, type Terminal } from './terminal.ts';

export interface Ended {
  readonly state: 'done' | 'degraded' | 'already-done' | 'failed' | 'aborted' | 'asking';
  /** Why it failed or was aborted. */
  readonly text?: string;
}

export interface Waiting {
  readonly run: string;
  readonly handle: WorkflowHandle;
  /** Parks older than this are of an execution that was terminated, in ms; 0 if the run was under way already. */
  readonly startedAt: number;
  readonly store: Pool;
  /** Undefined: tell nothing. */
  readonly terminal: Terminal | undefined;
  readonly signal: AbortSignal;
  /** The folder of the stack whose servers and workers these are; undefined where they are not our own. */
  readonly stackDir: string | undefined;
}

const LOOK_EVERY_MS = 500;
const COUNTS_EVERY_MS = 10_000;
/** A store that is away for longer ends the telling, not the run. */
const STORE_PATIENCE_MS = 60_000;
/** Clocks of client, worker and server differ by less. */
const SKEW_MS = 60_000;

/** Throws `interrupted` on Ctrl-C. */
export async function waitForRun(waiting: Waiting): Promise<Ended> {
  // The question for the result stays open at the server for 20 s; whoever stops waiting has to take it back, or the process lingers.
  const leave = new AbortController();
  // The client asks again every 20 s and leaves a listener each time, which Node would report as a leak in the middle of the page.
  setMaxListeners(0, leave.signal);
  try {
    return await wait(waiting, leave.signal);
  } finally {
    leave.abort();
  }
}

async function wait(waiting: Waiting, leave: AbortSignal): Promise<Ended> {
  const { signal } = waiting;
  let ended: Ended | undefined;
  let broken: unknown;
  const result = endOf(waiting.handle, leave).then(
    (value) => (ended = value),
    (error: unknown) => (broken = error),
  );
  const teller = tellerOf(waiting);
  let lastSeenAt = Date.now();
  for (;;) {
    if (broken !== undefined) throw broken;
    if (signal.aborted) throw new CommandError('interrupted', await leftBehind(waiting));
    // Only a look that began after the end may be the last one: it alone has seen the last rows.
    const last = ended;
    try {
      const parks = await parksOf(waiting.store, waiting.run);
      await teller(parks, last !== undefined);
      lastSeenAt = Date.now();
      if (
        !last &&
        parks.some((park) => park.until === 'decision' && park.since.getTime() > waiting.startedAt - SKEW_MS)
      )
        return { state: 'asking' };
    } catch (error) {
      if (Date.now() - lastSeenAt > STORE_PATIENCE_MS) throw error;
    }
    if (last) return last;
    if (ended) continue;
    await Promise.race([result, sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)]);
  }
}

/** What goes on after Ctrl-C and what does not, and how to end it. */
export async function leftBehind({ run, stackDir }: Pick<Waiting, 'run' | 'stackDir'>): Promise<string> {
  const name = shellWord(run);
  const how = `The same command attaches to it again; \`mendflow show ${name}\` says how far it is, \`mendflow abort ${name} --reason "…"\` ends it.`;
  if (stackDir === undefined) return `No longer waiting. ${run} goes on by itself. ${how}`;
  const { state, workers, suspended, keeper } = await stackStatus({ dir: stackDir });
  const living = workers.filter(({ alive }) => alive).map(({ pid }) => pid);
  const frozen = living.filter((one) => suspended.some(({ pid }) => pid === one));
  const works =
    living.length > frozen.length ||
    (frozen.length === 0 && keeper?.alive === true) ||
    devsOf(stackDir).some((dev) => dev.workers.length > 0);
  const goes = works
    ? 'goes on by itself'
    : frozen.length > 0
      ? `waits until a worker that is suspended goes on (\`kill -CONT ${frozen.join(' ')}\`)`
      : 'waits until a worker is started (`mendflow stack up`)';
  const stack =
    state === 'up'
      ? ' The stack stays up as well, in the background; `mendflow stack down` ends it and keeps all data.'
      : '';
  return `No longer waiting. ${run} ${goes}. ${how}${stack}`;
}

async function endOf(handle: WorkflowHandle, leave: AbortSignal): Promise<Ended> {
  try {
    const summary = (await handle.client.withAbortSignal(leave, () => handle.result())) as RunSummary;
    return { state: summary.state };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const { cause } = error;
    if (cause instanceof CancelledFailure)
      return { state: 'aborted', text: 'Cancellation was requested from outside.' };
    if (cause instanceof TerminatedFailure)
      return { state: 'failed', text: 'The workflow was terminated from outside; its ledger was not closed.' };
    const text = cause instanceof Error ? cause.message : error.message;
    return { state: cause instanceof ApplicationFailure && cause.type === 'aborted' ? 'aborted' : 'failed', text };
  }
}

/** `last`: the workflow has ended, so a closed row is about this run and not about an earlier generation. */
type Teller = (parks: readonly ParkRow[], last: boolean) => Promise<void>;

function tellerOf({ run, store, terminal }: Waiting): Teller {
  if (!terminal) return async () => undefined;
  const told = new Map<string, string>();
  let counts = '';
  let countsAt = Date.now();
  return async (parks, last) => {
    const row = await findRun(store, run);
    if (!row || (row.closedAt !== null && !last)) return;
    const [stages, progress] = await Promise.all([stagesOf(store, run, row.generation), progressOf(store, run)]);
    const lines = stages.map((stage) => ({
      stage: stage.stage,
      text: stageLine(
        stage,
        parks.find((park) => park.stage === stage.stage),
      ),
    }));
    const how = last ? '' : progressLine(progress);
    const counted = [countsLine(progress), ...(how === '' ? [] : [`  ${how}`])];
    if (terminal.live) return terminal.redraw([...block(lines.map(({ text }) => text)), ...counted]);
    for (const { stage, text } of lines) {
      if (told.get(stage) === text) continue;
      told.set(stage, text);
      terminal.line(text);
    }
    // A rate falls while nothing happens, which is no news.
    const now = `${countsLine(progress)} ${progress.bytesDone}`;
    if (now === counts || Date.now() - countsAt < COUNTS_EVERY_MS) return;
    counts = now;
    countsAt = Date.now();
    for (const line of counted) terminal.line(line);
  };
}

const LINES_MAX = 15;

/** Of many stages the unfinished ones first: those are what one waits for. */
function block(lines: readonly string[]): string[] {
  if (lines.length <= LINES_MAX) return [...lines];
  const open = lines.filter((line) => !line.includes('  done  '));
  const shown = open.slice(0, LINES_MAX);
  return [...shown, `  and ${lines.length - shown.length} more stages, ${lines.length - open.length} of them done`];
}

const countsLine = (progress: Progress): string => `  ${balanceLine(progress)}`;

function stageLine(stage: StageRow, park: ParkRow | undefined): string {
  const attempts = `${stage.attempts} attempt${stage.attempts === 1 ? '' : 's'}`;
  const wake = park?.wakeAt;
  const upstream = park?.until === 'upstream' ? (park.upstream ?? 'its upstream') : undefined;
  const next =
    upstream === undefined
      ? wake
        ? `, next try by itself at ${moment(wake)}`
        : ''
      : `, until ${escaped(upstream)} is back`;
  const tail =
    stage.state === 'done'
      ? `${attempts}, ${timeLine(stage)}`
      : stage.code === null
        ? attempts
        : `${attempts}, ${stage.code}${next}`;
  return `  ${escaped(stage.stage).padEnd(24)}  ${stage.state}  ${tail}`;
}
