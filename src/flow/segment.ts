// What lives here: when a segment of a flow is over, and what it returns then.
// Invariant: "done" is read from the ledger; a segment that ends by time has committed at least one chunk.
// Apart because the normal path and safe mode end the same way.
import { binsOf } from '../store/ledger.ts';
import type { Slice } from '../store/plans.ts';
import type { Work } from './chunk.ts';
import type { Bins, FlowContext, Segment } from './context.ts';
import type { Pace } from './lanes.ts';
import type { Session } from './session.ts';
import type { Range } from './types.ts';

/** The result if there is nothing left to do or no time to do it, else undefined. */
export async function segmentEnd(
  work: Work,
  session: Session,
  slice: Slice,
  left: readonly Range[],
  ctx: FlowContext,
  pace: Pace,
): Promise<Segment<Bins> | undefined> {
  if (left.length === 0) return { done: true, out: await binsOf(session.control, work.key) };
  if (ctx.signal.aborted || (pace.worked && performance.now() >= pace.endsAt))
    return { done: false, at: `offset ${left[0]!.from} of ${slice.to}` };
  return undefined;
}
