// What lives here: how the run reaches the ledger: its own activities, on queues of their own.
// Invariant: none of them can fail a stage; what could not be written is written again by the next park or by closing.
// Apart because their bounds are Mendflow's, not a pipeline's.
import { ActivityCancellationType, scheduleActivity, workflowInfo } from '@temporalio/workflow';
import { healQueueOf } from '../../model/ids.ts';
import type { Health, Outcome, Park, Totals } from '../../model/messages.ts';
import type { RunState } from './run-state.ts';

/** The stage that opens the run in the ledger. */
export const OPEN = 'mendflow:open';

/** One row for the ledger: a decision that was taken or refused. */
export interface Note {
  readonly stage: string;
  readonly token: string;
  readonly kind: string;
  readonly actor: string;
  readonly reason: string;
  readonly outcome: Outcome;
  readonly at: number;
}

export interface Opened {
  readonly generation: number;
  /** The run is in the ledger as done, with these totals; nothing is to be processed. */
  readonly already?: Totals;
}

export interface Closed extends Totals {
  readonly balanced: boolean;
  /** Sentences that say what does not add up; empty if balanced. */
  readonly faults: readonly string[];
  readonly openLetters: number;
  readonly state?: 'done' | 'degraded' | 'aborted' | 'failed' | 'open';
  /** Records and rows that somebody gave up, as far as they were counted. */
  readonly lost?: number;
  /** Bytes that were given up unread. */
  readonly uncountedBytes?: number;
}

/** What the closing activity cannot know from the ledger. */
export interface CloseInput {
  /** Share of bad records that each stage allows. */
  readonly limits: Readonly<Record<string, number>>;
  readonly lossAccepted: boolean;
}

/** For whom a healing activity writes. Without a generation the run is not known to be open, and Temporal is asked whether the attempt is wanted. */
export interface Writer {
  readonly runKey: string;
  readonly generation?: number;
  /** First execution of the chain of the run. */
  readonly execution?: string;
}

export interface ParkCall extends Writer {
  readonly stage: string;
  readonly park: Park;
  readonly health: Health;
  /** May end the wait with `carry` once it has lasted this long. */
  readonly carryAfterMs?: number;
}

/** Names and shapes of the healing activities; engine/activity/ implements them. */
export interface Healing {
  open(input: {
    force: boolean;
    scope: string;
    owner: string;
    workflowId: string;
    input: Readonly<Record<string, unknown>>;
  }): Promise<Opened>;
  /** Runs that an earlier release began are closed without input. */
  close(input: CloseInput | null): Promise<Closed>;
  park(call: ParkCall): Promise<'time' | 'upstream' | 'carry'>;
  record(call: Writer & { readonly notes: readonly Note[] }): Promise<void>;
  settle(call: Writer & { state: 'aborted' | 'failed'; actor: string; reason: string }): Promise<Closed>;
}

export const writerOf = (run: RunState): Writer => ({
  runKey: run.key,
  ...(Object.hasOwn(run.journal, OPEN) ? { generation: run.generation } : {}),
  execution: workflowInfo().firstExecutionRunId,
});

const schedule = <K extends 'park' | 'record' | 'settle'>(
  name: K,
  input: Parameters<Healing[K]>[0],
  summary: string,
  attemptsMax?: number,
): ReturnType<Healing[K]> =>
  scheduleActivity(`mendflow/${name}`, [input], {
    taskQueue: healQueueOf(workflowInfo().taskQueue),
    startToCloseTimeout: '30 seconds',
    retry: {
      initialInterval: '1 second',
      maximumInterval: '1 minute',
      ...(attemptsMax === undefined ? {} : { maximumAttempts: attemptsMax }),
    },
    cancellationType: ActivityCancellationType.TRY_CANCEL,
    summary: summary.slice(0, 200),
  }) as ReturnType<Healing[K]>;

export const parkOn = (call: ParkCall, summary: string): ReturnType<Healing['park']> => schedule('park', call, summary);
export const settle = (call: Parameters<Healing['settle']>[0]): ReturnType<Healing['settle']> =>
  schedule('settle', call, `give up the rest unread (${call.state})`);

/** Writes what was decided, in batches and one at a time; after its attempts it gives up, because a decision counts even if unwritten. */
export async function record(run: RunState): Promise<void> {
  if (run.recording || !run.ledger) return;
  run.recording = true;
  try {
    while (run.notes.length > 0) {
      const notes = run.notes.splice(0, 100);
      await schedule(
        'record',
        { ...writerOf(run), notes },
        `write ${notes.length} decision${notes.length === 1 ? '' : 's'} to the ledger`,
        20,
      ).catch(() => undefined);
    }
  } finally {
    run.recording = false;
  }
}
