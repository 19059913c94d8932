// What lives here: `watch`: the one workflow that repairs what was lost while nobody looked.
// Invariant: one per installation, made sure of by each worker, again and again; a round is bounded, and goes on where the last one ended.
// Apart because recovery knows one upstream and a run knows itself; somebody has to look at what neither is there for.
import {
  ActivityCancellationType,
  continueAsNew,
  scheduleActivity,
  setCurrentDetails,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { healQueueOf } from '../../model/ids.ts';

/** Where the last round ended among the parked stages. */
export interface SweepPlace {
  readonly workflowId: string;
  readonly stage: string;
}
export interface WatchArgs {
  readonly after?: SweepPlace;
}

/** What a round of watch did, and when the next is due. */
export interface Swept {
  readonly after?: SweepPlace;
  readonly nextInMs: number;
  /** For people. */
  readonly text: string;
}

/** Names and shapes of watch's activities. */
export interface Watching {
  sweep(call: WatchArgs): Promise<Swept>;
}

const ROUNDS_MAX = 200;
const EVENTS_MAX = 700;

export async function keepWatch(args: WatchArgs): Promise<undefined> {
  let { after } = args;
  for (let round = 1; ; round++) {
    const swept = await scheduleActivity<Swept>('mendflow/sweep', [after === undefined ? {} : { after }], {
      taskQueue: healQueueOf(workflowInfo().taskQueue),
      startToCloseTimeout: '1 minute',
      retry: { initialInterval: '1 second', maximumInterval: '30 seconds' },
      cancellationType: ActivityCancellationType.TRY_CANCEL,
      summary: 'look for what was lost',
    });
    after = swept.after;
    setCurrentDetails(swept.text);
    const { continueAsNewSuggested, historyLength } = workflowInfo();
    if (round >= ROUNDS_MAX || continueAsNewSuggested || historyLength >= EVENTS_MAX)
      return await continueAsNew<typeof keepWatch>(after === undefined ? {} : { after });
    await sleep(Math.max(1, swept.nextInMs));
  }
}
