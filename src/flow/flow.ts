// What lives here: a flow: all ranges of a slice that the ledger does not cover yet, loaded by parallel connections until done or out of time.
// Invariant: the ledger is read only while holding the lease; what a flow returns is counted from the ledger, not from memory.
// Apart as the one loop that readers, tables and attempts meet in.
import { CodedError, type Code } from '../model/failure.ts';
import { hit } from '../store/failpoint.ts';
import { binsOf, giveUp, type LedgerKey, uncovered } from '../store/ledger.ts';
import { discardSamples } from '../store/letters.ts';
import { ensureRun } from '../store/ensure-run.ts';
import { type Slice, writeSlice } from '../store/plans.ts';
import type { Work } from './chunk.ts';
import { type AcceptedLoss, type Bins, type FlowContext, mayLeaveFewer, type Segment } from './context.ts';
import { type Into, intoTable } from './into.ts';
import { createLimit } from './limit.ts';
import { openRecords, type RecordSource } from './record-reader.ts';
import { unmixed } from './mixed.ts';
import { workInSafeMode } from './safe-mode.ts';
import { fenced, openSession, type Session } from './session.ts';
import { type Sink, sinkOr } from './sink.ts';
import type { AnySteps, Chain, Fitting } from './chain.ts';
import { segmentEnd } from './segment.ts';
import type { ChunkReader } from './types.ts';
import { type Pace, workLanes } from './lanes.ts';

/** A source that a connector has identified, planned and opened. The flow writes the slice unless it is written, and does not close the reader. */
export interface OpenSource {
  readonly sourceId: string;
  /** [from, to) and whether the source is known to be complete; what an earlier attempt wrote stands instead. */
  readonly slice: Slice;
  readonly reader: ChunkReader;
  /** How many records it has, where that is known before they are read: then few bad ones are judged by it. */
  readonly recordsAll?: number;
  /** Its records are aggregates: counted as rows, not as records. */
  readonly derived?: boolean;
  /** Sources of the same records as they were made before, such as the versions of a dataset: this one stands for them, so their rows go. */
  readonly earlier?: readonly string[];
  /** As of when the oldest of its inputs was fetched. */
  readonly asOf?: Date;
  /** Some of what this run committed is not in the source any more: it is compared closely before anything is read. */
  readonly doubted?: boolean;
}

export interface FlowOptions<S extends AnySteps = AnySteps, C extends string = string> {
  readonly from: OpenSource | RecordSource;
  /** From bytes to rows, for a source of records. */
  readonly steps?: S;
  readonly into: Fitting<S, C>;
  /** Default: the one the worker provided. */
  readonly sink?: Sink;
  /** Parallel connections. Default 2. */
  readonly lanes?: number;
  /** Records a chunk has at most. Default 20,000; halved while chunks take longer than 3 s. */
  readonly recordsMax?: number;
  /** Told what might become a problem, such as a trigger on the table. */
  readonly onWarning?: (text: string) => void;
}

export interface Flow {
  /** Loads until all is done, the segment is over or the signal aborts. Safe to call again after any failure, from any process. */
  run(ctx: FlowContext): Promise<Segment<Bins>>;
}

const LANES = 2;
const RECORDS_MAX = 20_000;
/** How often one attempt takes its lease again to settle an unknown commit or to plan anew; then the guard's backoff takes over. */
const SESSIONS_MAX = 4;
const settledByLease: readonly Code[] = ['pg_commit_unknown', 'ledger_conflict'];

/** Declares a flow; nothing happens before `run`. */
export function flow<const S extends AnySteps = AnySteps, C extends string = string>(
  options: FlowOptions<S, C> & { readonly steps?: Chain<S> },
): Flow {
  return {
    run: (ctx) => runFlow(options as Options, intoTable(options.into), ctx),
  };
}

type Options = Omit<FlowOptions, 'into'>;

/** A flow into any place. */
export async function runFlow(options: Options, into: Into, ctx: FlowContext): Promise<Segment<Bins>> {
  const sink = sinkOr(options.sink);
  if ('reader' in options.from) return await runOpen(options, into, options.from, sink, ctx);
  const { target, encode } = into;
  const opening = { steps: options.steps ?? [], ...(target ? { target } : {}), encode, sink, ctx };
  const opened = await openRecords(options.from, opening);
  try {
    return await runOpen(options, into, opened, sink, ctx);
  } finally {
    await opened.reader.close();
  }
}

async function runOpen(
  options: Options,
  into: Into,
  source: OpenSource,
  sink: Sink,
  ctx: FlowContext,
): Promise<Segment<Bins>> {
  const pace: Pace = { recordsMax: options.recordsMax ?? RECORDS_MAX, endsAt: performance.now() + ctx.segmentMs };
  for (let session = 1; ; session++) {
    try {
      return await runSession(options, into, source, sink, ctx, pace);
    } catch (error) {
      // The next session takes the lease again: that ends the connection in doubt and waits for its commit, so the ledger then tells.
      const settles = error instanceof CodedError && settledByLease.includes(error.failure.code);
      if (!settles || session >= SESSIONS_MAX || ctx.signal.aborted) throw error;
    }
  }
}

async function runSession(
  options: Options,
  into: Into,
  source: OpenSource,
  sink: Sink,
  ctx: FlowContext,
  pace: Pace,
): Promise<Segment<Bins>> {
  const { runKey, generation, stage } = ctx;
  const key: LedgerKey = { runKey, generation, stage, sourceId: source.sourceId };
  // Rows of it may be there: from an earlier generation, or from this one before the records were made anew.
  const loader = into.loader(generation > 1 || (source.earlier ?? []).length > 0);
  const givesUp = ctx.acceptLoss !== undefined && !mayLeaveFewer(ctx) ? ctx.acceptLoss : undefined;
  let slice: Slice = source.slice;
  const session = await openSession({
    sink,
    ctx,
    lanes: givesUp ? 1 : Math.min(options.lanes ?? LANES, into.lanesMax ?? Infinity),
    loader,
    async before(control) {
      await into.before?.(control, (text) => options.onWarning?.(text));
      await ensureRun(control, ctx);
      slice = await writeSlice(control, { ...key, execution: ctx.execution }, source.slice);
    },
  });
  let clean = false;
  try {
    await into.begin?.(session, source, ctx);
    const { lease } = session;
    const limit = createLimit(ctx.quarantineShareMax, await binsOf(session.control, key), source.recordsAll);
    const { target, passes } = into;
    const about = { key, target, passes, derived: source.derived === true, loader, lease, limit };
    const work: Work = {
      ...about,
      execution: ctx.execution,
      seal: sink.seal,
      reader: source.reader,
      ...(mayLeaveFewer(ctx) ? { acceptLoss: ctx.acceptLoss! } : {}),
      ...(ctx.decided ? { decided: true } : {}),
    };
    const normally = (): Promise<Segment<Bins>> => workThrough(work, session, slice, ctx, pace);
    const working = (): Promise<Segment<Bins>> =>
      ctx.losses > 0 ? workInSafeMode(work, session, slice, ctx, pace, normally) : normally();
    const end = givesUp
      ? await acceptLoss(session, key, slice, { by: givesUp, recordsAll: source.recordsAll })
      : await unmixed(work, session, source.doubted === true, working);
    if (end.done) await into.end?.(session, source, ctx);
    clean = true;
    return end;
  } finally {
    await session.close(clean);
  }
}

/** Pass after pass over what is not covered; a pass ends early when the chunks have to become smaller. */
async function workThrough(
  work: Work,
  session: Session,
  slice: Slice,
  ctx: FlowContext,
  pace: Pace,
): Promise<Segment<Bins>> {
  for (;;) {
    const left = await uncovered(session.control, work.key, slice);
    hit('flow.afterPlan');
    const end = await segmentEnd(work, session, slice, left, ctx, pace);
    if (end) return end;
    const sizeBefore = pace.recordsMax;
    const chunks = await workLanes(work, session.lanes, left, ctx, pace);
    // Only a segment that has worked is stopped by time; a reader that delivered nothing before that has nothing.
    const stopped = ctx.signal.aborted || (pace.worked === true && performance.now() >= pace.endsAt);
    if (chunks === 0 && pace.recordsMax === sizeBefore && !stopped)
      throw new CodedError(
        'source_shrunk',
        `The source ended before offset ${left.at(-1)!.to}; bytes from ${left[0]!.from} on are planned and were not delivered. What was committed before stays.`,
      );
  }
}

/** An operator gave up the rest: it is accounted for unread, in bytes, with who and why, and as skipped records where the source knows how many it has. */
async function acceptLoss(
  session: Session,
  key: LedgerKey,
  slice: Slice,
  { by, recordsAll }: { readonly by: AcceptedLoss; readonly recordsAll: number | undefined },
): Promise<Segment<Bins>> {
  const left = await uncovered(session.control, key, slice);
  const from = left[0]?.from;
  const reason =
    `loss accepted by ${by.actor}${from === undefined ? '' : `, from offset ${from}`}: ${by.reason}`.replaceAll(
      '\0',
      '',
    );
  await fenced(session, async (client) => {
    const before = await binsOf(client, key);
    const records = recordsAll === undefined ? undefined : Math.max(0, recordsAll - before.read);
    if (left.length > 0) await giveUp(client, key, left, { epoch: session.lease.epoch, reason, records });
    await discardSamples(client, key, reason);
  });
  return { done: true, out: await binsOf(session.control, key) };
}
