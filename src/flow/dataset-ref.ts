// What lives here: the reference to a dataset, which is all that travels between stages.
// Invariant: small, plain JSON, and without a record in it.
// Apart because histories hold it: it changes only by adding.
import { CodedError } from '../model/failure.ts';
import type { DatasetRow } from '../store/datasets.ts';

/** Names a sealed dataset. */
export interface DatasetRef {
  readonly dataset: string;
  /** Stage key that made it, and that is done again if it is lost. */
  readonly stage: string;
  /** Name and version of what its records look like. */
  readonly schema: string;
  readonly records: number;
  /** Bytes of all records, unpacked. */
  readonly bytes: number;
  /** Over all records, unpacked, in hex. */
  readonly sha256: string;
}

export const refOf = (row: DatasetRow): DatasetRef => ({
  dataset: row.id,
  stage: row.stage,
  schema: row.schema,
  records: row.records,
  bytes: row.bytes,
  sha256: row.sha256,
});

/** The records of a finished stage are lost: that stage has to be done again. */
export const gone = (ref: Pick<DatasetRef, 'dataset' | 'stage'>, what: string): CodedError =>
  new CodedError(
    'dataset_gone',
    `Dataset ${ref.dataset}, which stage ${ref.stage} made, ${what}. Nothing was written from it. Stage ${ref.stage} has to be done again.`,
    { redo: ref.stage },
  );
