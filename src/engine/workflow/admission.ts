// What lives here: when a stage may begin: how many are under way at once, how much goes out with one workflow task, and when the next execution is due.
// Invariant: one activation begins a bounded number of stages with bounded arguments, whatever the body asks for; who waits here waits in order and costs nothing.
// Apart because a body that calls 20,000 stages at once is right, and has to meet a limit in one place.
import { CancellationScope, patched, workflowInfo } from '@temporalio/workflow';
import type { Policy } from '../../model/spec.ts';
import type { RunState } from './run-state.ts';

/** Stages whose activity is scheduled. What they still write when no more are begun has to fit into a history of 1,000 events. */
export const WORKING_MAX = 50;
/** Of those that share the slots of the workers with all pipelines: fewer than one worker has, so that there is always one for another run. */
export const SHARED_MAX = 6;
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

/** Stages of an upstream have slots of their own, so they wait for nobody else. */
type Lane = 'shared' | 'upstream';
const laneOf = ({ upstream }: Policy): Lane => (upstream === undefined ? 'shared' : 'upstream');
const lanes: readonly Lane[] = ['shared', 'upstream'];

/** Who waits for a place, in order, and what this workflow task has taken already. */
export interface Door {
  readonly queues: Readonly<Record<Lane, Waiter[]>>;
  /** Places that were given to somebody who has not begun yet. */
  readonly promised: Record<Lane, number>;
  /** Length of history at the start of the task that `bytes` is of. */
  task: number;
  bytes: number;
}

export const openDoor = (): Door => ({
  queues: { shared: [], upstream: [] },
  promised: { shared: 0, upstream: 0 },
  task: -1,
  bytes: 0,
});

/** Stage calls that have not begun. */
export const waitingIn = ({ queues }: Door): number => queues.shared.length + queues.upstream.length;

/** Temporal suggests it, or the history would pass a thousand events. Runs that were longer than that before there was the rule go on as they did. */
export function historyIsLong(): boolean {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  return continueAsNewSuggested || (historyLength >= EVENTS_MAX && patched('leave-early'));
}

/** A place for a stage whose argument has so many bytes: nothing if it may begin now, else what to wait for. */
export function placeFor(run: RunState, policy: Policy, bytes: number): Promise<void> | undefined {
  const { door } = run;
  const lane = laneOf(policy);
  if (isLeaving(run) || door.queues[lane].length > 0 || !mayEnter(run, lane, bytes)) return line(run, lane, bytes);
  take(door, bytes);
  return undefined;
}

/** A stage has ended or waits, so others may begin. */
export function admitOthers(run: RunState): void {
  const { door } = run;
  if (waitingIn(door) === 0 || isLeaving(run)) return;
  for (const lane of lanes) {
    const queue = door.queues[lane];
    for (let first = queue[0]; first && (first.gone || mayEnter(run, lane, first.bytes)); first = queue[0]) {
      queue.shift();
      if (first.gone) continue;
      door.promised[lane]++;
      take(door, first.bytes);
      first.enter();
    }
  }
}

/** Between two segments of a long flow history may have grown: wait here, holding nothing, for the next execution. */
export const leaveForCarry = (run: RunState): Promise<void> => {
  run.wantsCarry = true;
  return line(run, 'shared', 0);
};

function isLeaving(run: RunState): boolean {
  if (!run.ledger || !historyIsLong()) return false;
  run.wantsCarry = true;
  return true;
}

async function line(run: RunState, lane: Lane, bytes: number): Promise<void> {
  const { cancelRequested } = CancellationScope.current();
  let waiter: Waiter | undefined;
  const place = new Promise<void>((enter) => {
    waiter = { bytes, enter, gone: false };
    run.door.queues[lane].push(waiter);
  });
  try {
    await Promise.race([place, cancelRequested]);
  } catch (error) {
    waiter!.gone = true;
    throw error;
  }
  run.door.promised[lane]--;
}

function mayEnter(run: RunState, lane: Lane, bytes: number): boolean {
  const { door, working, active } = run;
  const promised = door.promised.shared + door.promised.upstream;
  if (active + promised >= STAGES_AT_ONCE_MAX) return false;
  const busy = working.size + promised;
  // What goes alone was measured by itself.
  if (busy === 0) return true;
  if (bytesOf(door) + bytes > TASK_BYTES_MAX) return false;
  // Runs that began more before there was the rule go on as they did.
  return (busy < WORKING_MAX && (lane !== 'shared' || isSharing(run))) || !patched('few-at-once');
}

/** How many places on the shared slots are taken. */
export const sharedBusy = ({ door, working }: RunState): number =>
  [...working.values()].filter(({ policy }) => laneOf(policy) === 'shared').length + door.promised.shared;

const isSharing = (run: RunState): boolean => sharedBusy(run) < (run.spec.stagesAtOnce ?? SHARED_MAX);

const bytesOf = ({ task, bytes }: Door): number => (task === workflowInfo().historyLength ? bytes : 0);

function take(door: Door, bytes: number): void {
  door.bytes = bytesOf(door) + bytes;
  door.task = workflowInfo().historyLength;
}
