// What lives here: what a flow is told about the attempt it runs in. The guard makes it, a test makes it by hand.
// Invariant: nothing in it is Temporal's; a flow runs the same in a script.
// Apart because connectors/, store/ and flow/ must not know who schedules them.
import type { Range } from './types.ts';

export interface Progress extends Range {
  readonly loaded: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly skipped: number;
}

export interface FlowContext {
  readonly pipeline: string;
  /** `pipeline/date[/scope]`, the key of the ledger. */
  readonly runKey: string;
  /** `ingest` or `ingest[a.log]`: unique in the run. */
  readonly stage: string;
  readonly dataDate: string;
  /** Which reprocessing of the run, from 1. */
  readonly generation: number;
  /** First execution of the chain that the run was opened by: another one's stages may not write for it. A script has none. */
  readonly execution?: string;
  /** Aborted when the attempt is cancelled or the worker stops: finish or roll back the chunk, then return. */
  readonly signal: AbortSignal;
  /** Told after each committed chunk; keeps the attempt alive and starts its budget anew. */
  onChunk(progress: Progress): void;
  /** When Temporal scheduled this attempt, in ms since 1970: an older attempt never takes the lease from a newer one. */
  readonly attemptAt: number;
  /** Who holds the lease, for people: `host:pid`. */
  readonly holder: string;
  /** After this many ms the flow ends its segment and returns `{ done: false }`. Default 45,000. */
  readonly segmentMs: number;
  /** Share of bad records above which the stage stops, 0..1. */
  readonly quarantineShareMax: number;
  /** Attempts of this stage lost with their worker; from 1 on the flow works in safe mode. */
  readonly losses: number;
  /**
   * An operator accepted the loss of the rest: give it up with this reason instead of reading it.
   * `of`: code of the question that was answered so. Of `rows_fewer` it is not the rest that is given up, but rows that were there before.
   */
  readonly acceptLoss?: AcceptedLoss | undefined;
  /** An operator said to try now. */
  readonly decided?: boolean;
}

/** Who accepted a loss, why, and which question that answers. */
export interface AcceptedLoss {
  readonly actor: string;
  readonly reason: string;
  readonly of?: string;
}

/** Whether the loss is of rows that are there, so that the work goes on and may leave fewer. */
export const mayLeaveFewer = ({ acceptLoss }: Pick<FlowContext, 'acceptLoss'>): boolean =>
  acceptLoss?.of === 'rows_fewer';

/** The four bins; read is their sum. */
export interface Bins {
  readonly read: number;
  readonly loaded: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly skipped: number;
}

/** A stage that is not done is scheduled again; `at` is for people, the ledger is the checkpoint. */
export type Segment<Out> = { readonly done: true; readonly out: Out } | { readonly done: false; readonly at: string };
