// What lives here: `breaker/<upstream>`: the workflow that brings parked runs back when their upstream is.
// Invariant: level-triggered: each round reads the rows and acts on what they say, so a lost poke or a killed worker costs one interval at most.
// Apart because it knows of no run and no pipeline; all it holds is when to look again.
import {
  ActivityCancellationType,
  condition,
  continueAsNew,
  defineSignal,
  isCancellation,
  scheduleActivity,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { healQueueOf, upstreamQueueOf } from '../../model/ids.ts';

/** What one round hands to the next. Losing it makes the waves begin small again, nothing else. */
export interface RecoveryMemo {
  /** The wave under way: of which epoch, how many there were before it, how many runs it let go. */
  readonly wave?: { readonly epoch: number; readonly no: number; readonly size: number };
  /** When a canary was sent last, in ms, in which epoch, and how many before it in this hold. */
  readonly canary?: { readonly epoch: number; readonly at: number; readonly no?: number };
  /** Marks of the credentials that were tried in this hold before its cooldown was over; each is, once. */
  readonly tried?: readonly string[];
  /** Since when nobody asks about a hold, in ms. */
  readonly unaskedSince?: number;
  /** When those that were let go and have not gone were told again, in ms. */
  readonly toldAgainAt?: number;
}

/** The one argument of the workflow. */
export interface RecoveryArgs {
  readonly upstream: string;
  /** Continue-as-new. */
  readonly memo?: RecoveryMemo;
}

export interface TickCall {
  readonly upstream: string;
  readonly memo: RecoveryMemo;
}

/** What a round did, and when the next is due. */
export interface Ticked {
  readonly memo: RecoveryMemo;
  readonly nextInMs: number;
  /** The breaker admits and nobody waits. */
  readonly over: boolean;
  /** The cooldown is over and a probe is declared: make it. */
  readonly probe: boolean;
  /** For people. */
  readonly text: string;
  /** The same in a few words, for the timer that follows. */
  readonly what?: string;
}

/** Names and shapes of recovery's activities. */
export interface Recovering {
  tick(call: TickCall): Promise<Ticked>;
  probe(call: { upstream: string }): Promise<void>;
}

export const pokeSignal = defineSignal('poke');

/** A round is about a dozen events; an execution stays far below a thousand. */
const ROUNDS_MAX = 50;
const EVENTS_MAX = 700;

export async function recover(args: RecoveryArgs): Promise<undefined> {
  const { upstream } = args;
  let poked = false;
  setHandler(pokeSignal, () => {
    poked = true;
  });
  let memo = args.memo ?? {};
  let wasOver = false;
  for (let round = 1; ; round++) {
    poked = false;
    const ticked = await tick({ upstream, memo });
    memo = ticked.memo;
    setCurrentDetails(ticked.text);
    if (ticked.probe) await probe(upstream);
    // It stays for a moment after its work: a run that parked meanwhile finds it here and need not wait for watch.
    if (ticked.over && wasOver) return undefined;
    wasOver = ticked.over;
    const summary = `next look at ${upstream}${ticked.what === undefined ? '' : `: ${ticked.what}`}`.slice(0, 200);
    await condition(() => poked, Math.max(1, ticked.nextInMs), { summary });
    const { continueAsNewSuggested, historyLength } = workflowInfo();
    if (round >= ROUNDS_MAX || continueAsNewSuggested || historyLength >= EVENTS_MAX)
      return await continueAsNew<typeof recover>({ upstream, memo });
  }
}

/** On the healing queue, and again until it comes through: without the control store there is nothing to decide by. */
const tick = (call: TickCall): Promise<Ticked> =>
  scheduleActivity<Ticked>('mendflow/tick', [call], {
    taskQueue: healQueueOf(workflowInfo().taskQueue),
    startToCloseTimeout: '2 minutes',
    heartbeatTimeout: '5 seconds',
    retry: { initialInterval: '1 second', maximumInterval: '30 seconds' },
    cancellationType: ActivityCancellationType.TRY_CANCEL,
    summary: 'look after the breaker and who waits for it',
  });

/** On the queue of the upstream: one that hangs takes a slot of its own, none of healing's. How it ended is in the breaker's row. */
async function probe(upstream: string): Promise<void> {
  try {
    await scheduleActivity('mendflow/probe', [{ upstream }], {
      taskQueue: upstreamQueueOf(workflowInfo().taskQueue, upstream),
      scheduleToCloseTimeout: '3 minutes',
      retry: { maximumAttempts: 1 },
      cancellationType: ActivityCancellationType.TRY_CANCEL,
      summary: `probe of ${upstream}`,
    });
  } catch (error) {
    if (isCancellation(error)) throw error;
  }
}
