// What lives here: how a stage makes a dataset: by a flow from another source, or in one go from whatever it gathers.
// Invariant: a dataset is either sealed, whole and proved, or nobody reads it.
// Apart as the two functions that pipelines call.
import type { FlowContext, Segment } from './context.ts';
import { createBuffer, type Landing } from './dataset-landing.ts';
import { addParts, type DatasetOptions, intoDataset, keyOf, seal, keepOrGiveUp } from './dataset-sink.ts';
import { type DatasetRef, refOf } from './dataset-ref.ts';
import { runFlow } from './flow.ts';
import { fenced, openSession } from './session.ts';
import type { RecordSource } from './record-reader.ts';
import { type Sink, sinkOr } from './sink.ts';
import type { AnySteps, Chain } from './chain.ts';
import { emptyDataset, insertDataset } from '../store/datasets.ts';
import { ensureRun } from '../store/ensure-run.ts';

/** A dataset that a flow made, and what of its source did not get into it. */
export interface MadeDataset extends DatasetRef {
  readonly quarantined: number;
  readonly skipped: number;
}

export interface FlowToDataset<S extends AnySteps = AnySteps> {
  readonly from: RecordSource;
  readonly steps: S;
  readonly into: DatasetOptions;
  readonly sink?: Sink;
  readonly recordsMax?: number;
}

/**
 * A flow whose values become the records of a dataset. What the steps refuse becomes dead letters, as in any flow, and what they pass on
 * is accounted for by the stage that reads the dataset: no run closes before one has. Fails with `dataset_too_large` besides what a flow fails with.
 */
export function flowToDataset<const S extends AnySteps>(
  options: FlowToDataset<S> & { readonly steps: Chain<S> },
): { run(ctx: FlowContext): Promise<Segment<MadeDataset>> } {
  return {
    async run(ctx) {
      const into = intoDataset(options.into);
      const { from, steps, sink, recordsMax } = options;
      const shared = { ...(sink ? { sink } : {}), ...(recordsMax === undefined ? {} : { recordsMax }) };
      const end = await runFlow({ from, steps, ...shared }, into, ctx);
      if (!end.done) return end;
      const { quarantined, skipped } = end.out;
      return { done: true, out: { ...into.made(), quarantined, skipped } };
    },
  };
}

export interface LandOptions extends DatasetOptions {
  readonly sink?: Sink;
  /** As of when the data is: when it was asked for, or the oldest of what it was made from. */
  readonly asOf: Date;
  /** Aggregates: rows made from many records. They are counted as rows, not as records. */
  readonly derived?: boolean;
}

/**
 * Gathers records in one go, such as the pages of an HTTP answer, and seals them with the proof that `gather` returns. Nothing reads them before.
 * An attempt that did not come to its end is begun anew; one that sealed is not repeated,
 * unless what it sealed is damaged or of another schema. Fails with `dataset_too_large`, and with what `gather` throws.
 */
export async function landDataset(
  ctx: FlowContext,
  options: LandOptions,
  gather: (landing: Landing) => Promise<Readonly<Record<string, unknown>>>,
): Promise<DatasetRef> {
  const sink = sinkOr(options.sink);
  const session = await openSession({ sink, ctx, lanes: 1, before: (control) => ensureRun(control, ctx) });
  try {
    const key = keyOf(ctx, options);
    const live = await keepOrGiveUp(session, key, options.schema);
    if (live?.state === 'sealed') return refOf(live);
    const { schema, asOf, derived = false } = options;
    const id = await fenced(session, async (client) => {
      if (!live) return await insertDataset(client, { ...key, schema, passed: false, derived, asOf, origin: 'live' });
      await emptyDataset(client, live.id, asOf);
      return live.id;
    });
    const buffer = createBuffer((parts) => fenced(session, (client) => addParts(client, id, parts, options)));
    const found = await gather(buffer);
    // Kept with it, because what was accepted as less than there should be must not be taken for all there is.
    const proof = ctx.acceptLoss ? { ...found, accepted: ctx.acceptLoss } : found;
    await buffer.flush();
    return await seal(session, id, proof);
  } finally {
    await session.close(false);
  }
}
