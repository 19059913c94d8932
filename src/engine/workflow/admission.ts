// What lives here: when a stage may begin: how many are under way at once, how much goes out with one workflow task, and when the next execution is due.
// Invariant: one activation begins a bounded number of stages with bounded arguments, whatever the body asks for; who waits here waits in order and costs nothing.
// Apart because a body that calls 20,000 stages at once is right, and has to meet a limit in one place.
import { CancellationScope, patched, workflowInfo } from '@temporalio/workflow';
import type { RunState } from './run-state.ts';

/** Stages whose activity is scheduled. What they still write when no more are begun has to fit into a history of 1,000 events. */
const WORKING_MAX = 50;
/** Temporal refuses a workflow that has 2,000 activities under way, at every task anew; parked stages count, because each holds one. */
const STAGES_AT_ONCE_MAX = 500;
/** From here on nothing is begun: what is under way ends, and the run continues as new. */
const EVENTS_MAX = 700;
/** Temporal takes 4 MB with one workflow task, and refuses more at every task anew. */
const TASK_BYTES_MAX = 2_500_000;

interface Waiter {
  readonly bytes: number;
  readonly enter: () => void;
  /** Cancelled while it waited. */
  gone: boolean;
}

/** Who waits for a place, in order, and what this workflow task has taken already. */
export interface Door {
  readonly queue: Waiter[];
  /** Places that were given to somebody who has not begun yet. */
  promised: number;
  /** Length of history at the start of the task that `bytes` is of. */
  task: number;
  bytes: number;
}

export const openDoor = (): Door => ({ queue: [], promised: 0, task: -1, bytes: 0 });

/** Temporal suggests it, or the history would pass a thousand events. Runs that were longer than that before there was the rule go on as they did. */
export function historyIsLong(): boolean {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  return continueAsNewSuggested || (historyLength >= EVENTS_MAX && patched('leave-early'));
}

/** A place for a stage whose argument has so many bytes: nothing if it may begin now, else what to wait for. */
export function placeFor(run: RunState, bytes: number): Promise<void> | undefined {
  const { door } = run;
  if (isLeaving(run)) return line(run, bytes);
  if (door.queue.length > 0 || !mayEnter(run, bytes)) return line(run, bytes);
  take(door, bytes);
  return undefined;
}

/** A stage has ended or waits, so others may begin. */
export function admitOthers(run: RunState): void {
  const { door } = run;
  if (door.queue.length === 0 || isLeaving(run)) return;
  for (let first = door.queue[0]; first && (first.gone || mayEnter(run, first.bytes)); first = door.queue[0]) {
    door.queue.shift();
    if (first.gone) continue;
    door.promised++;
    take(door, first.bytes);
    first.enter();
  }
}

/** Between two segments of a long flow history may have grown: wait here, holding nothing, for the next execution. */
export const leaveForCarry = (run: RunState): Promise<void> => {
  run.wantsCarry = true;
  return line(run, 0);
};

function isLeaving(run: RunState): boolean {
  if (!run.ledger || !historyIsLong()) return false;
  run.wantsCarry = true;
  return true;
}

async function line(run: RunState, bytes: number): Promise<void> {
  const { cancelRequested } = CancellationScope.current();
  let waiter: Waiter | undefined;
  const place = new Promise<void>((enter) => {
    waiter = { bytes, enter, gone: false };
    run.door.queue.push(waiter);
  });
  try {
    await Promise.race([place, cancelRequested]);
  } catch (error) {
    waiter!.gone = true;
    throw error;
  }
  run.door.promised--;
}

function mayEnter({ door, working, active }: RunState, bytes: number): boolean {
  if (active + door.promised >= STAGES_AT_ONCE_MAX) return false;
  const busy = working.size + door.promised;
  // What goes alone was measured by itself.
  if (busy === 0) return true;
  return busy < mayWork(busy) && bytesOf(door) + bytes <= TASK_BYTES_MAX;
}

/** Runs that began more before there was the rule go on as they did. */
const mayWork = (busy: number): number =>
  busy >= WORKING_MAX && !patched('few-at-once') ? STAGES_AT_ONCE_MAX : WORKING_MAX;

const bytesOf = ({ task, bytes }: Door): number => (task === workflowInfo().historyLength ? bytes : 0);

function take(door: Door, bytes: number): void {
  door.bytes = bytesOf(door) + bytes;
  door.task = workflowInfo().historyLength;
}
