// What lives here: a long list of files, kept as a dataset, and one stage that works many of them.
// Invariant: a file is loaded under the same name in the ledger whether it has a stage of its own or shares one; what fails gets one of its own.
// Apart from log-ingest's other stages because those know one file, and this knows only that there are many.
import { stage } from 'mendflow/worker';
import {
  type Bins,
  type DatasetRef,
  type FlowContext,
  landDataset,
  readDataset,
  type Segment,
  type Sink,
} from 'mendflow/flow';
import { classify, CodedError, type Failure, stageKey } from 'mendflow/model';
import type { FileRef } from '../connectors/files.ts';

/** So many files have a stage each; of more, so many stages share them. */
export const STAGES_MAX = 200;
/** Files of a group that fail by themselves; if more do, it is not the files, and the group asks once. */
const APART_MAX = 5;
/** From this attempt on a file that fails in whatever way is left to a stage of its own. */
const PATIENT_ATTEMPTS_MAX = 2;
const SCHEMA = 'file-list/1';

/** Too many files to travel: where their list is, and how it is divided. */
export interface FileList {
  readonly list: DatasetRef;
  readonly files: number;
  /** Files that share a stage. */
  readonly groupSize: number;
}

/** Files of a list from a position to before another. */
export interface GroupOf {
  readonly list: DatasetRef;
  readonly from: number;
  readonly to: number;
}

export interface Grouped extends Bins {
  /** Those that failed: each is to be given to a stage of its own. */
  readonly apart: readonly FileRef[];
  /** Position of the first file that was not reached in time; another stage takes it up from there. */
  readonly next?: number;
}

/** The files themselves while they are few, else a reference to their list. */
export async function handOn(
  files: readonly FileRef[],
  sink: Sink,
  stagesMax: number = STAGES_MAX,
): Promise<FileRef[] | FileList> {
  if (files.length <= stagesMax) return [...files];
  const list = await landDataset(
    stage(),
    { schema: SCHEMA, asOf: new Date(), derived: true, sink },
    async ({ put }) => {
      for (const file of files) await put(file);
      return { files: files.length };
    },
  );
  return { list, files: files.length, groupSize: Math.ceil(files.length / stagesMax) };
}

/**
 * One file after another: a run may have six groups under way, and several files at once in each took longer and made other runs wait twice as long.
 * What an earlier attempt has loaded is seen by the ledger and costs a look.
 */
export async function ingestEach(
  { list, from, to }: GroupOf,
  sink: Sink,
  one: (file: FileRef, ctx: FlowContext) => Promise<Segment<Bins>>,
): Promise<Segment<Grouped>> {
  const ctx = stage();
  const endsAt = Date.now() + ctx.segmentMs;
  const sums = { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 };
  const apart: FileRef[] = [];
  let at = from;
  for await (const file of within(readDataset<FileRef>(sink.pool, list, { schema: SCHEMA }), from)) {
    if (at >= to) break;
    if (at > from && ctx.signal.aborted) return { done: false, at: `file ${at} of ${to}` };
    if (at > from && Date.now() >= endsAt) return { done: true, out: { ...sums, apart, next: at } };
    at++;
    try {
      const end = await one(file, { ...ctx, stage: stageKey('ingest', file.name) });
      // A large one goes on in a stage of its own, from where it is.
      if (!end.done) apart.push(file);
      else
        for (const bin of ['read', 'loaded', 'duplicate', 'quarantined', 'skipped'] as const) sums[bin] += end.out[bin];
    } catch (error) {
      const failure = classify(error);
      if (ctx.signal.aborted || !isOfTheFile(failure, ctx.attempt)) throw error;
      apart.push(file);
      if (apart.length > APART_MAX) throw allAlike(failure, apart.length, { from, to, at });
    }
  }
  return { done: true, out: { ...sums, apart } };
}

/** The values from a position on. */
async function* within<T>(values: AsyncIterable<T>, from: number): AsyncGenerator<T> {
  let at = 0;
  for await (const value of values) if (at++ >= from) yield value;
}

/** What time heals is tried again for all; what it does not heal is a question about this file, and the others go on. */
const isOfTheFile = ({ class: of, code }: Failure, attempt: number): boolean =>
  code !== 'dataset_gone' &&
  (of === 'permanent' || of === 'data' || of === 'unknown' || attempt > PATIENT_ATTEMPTS_MAX);

const allAlike = (
  { code, text }: Failure,
  failed: number,
  { from, to, at }: { from: number; to: number; at: number },
): CodedError =>
  new CodedError(
    code,
    `${failed} of the first ${at - from} files of this group (${from + 1} to ${to}) failed, the last with: ${text} Files that were loaded stay loaded; a retry goes on with the others.`,
  );
