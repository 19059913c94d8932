// What lives here: who may end a run, compared with the row of the run.
// Invariant: the comparison is made under the lock of the run; whoever is not wanted any more ends nothing, and a run that has ended stays as it is.
// Apart from the ledger because closing and aborting ask the same.
import type { Balance } from './balance.ts';
import type { Db } from './db.ts';
import { late } from './lease.ts';

/** Who ends a run. A script is nobody, and may. */
export interface Closer {
  /** What it opened; undefined if it does not know of having opened anything. */
  readonly generation?: number | undefined;
  /** First execution of its chain. */
  readonly execution: string;
  /** Whether anybody still waits for this attempt; asked under the lock of the run. */
  readonly isWanted: () => Promise<boolean>;
}

/** The row of a run as its closer compares it. */
export interface OwnedRow {
  readonly generation: number;
  readonly openedBy: string | null;
  readonly state: 'running' | 'parked' | 'asking' | 'done' | 'degraded' | 'aborted' | 'failed';
  readonly closed: { readonly balance?: Balance } | null;
}

export async function ownedRow(db: Db, runKey: string): Promise<OwnedRow | undefined> {
  const { rows } = await db.query<OwnedRow>(
    `select generation, workflow_run as "openedBy", closed, state from mendflow.run where key = $1`,
    [runKey],
  );
  return rows[0];
}

/** A run that nobody is known to have opened is whoever's has opened it. */
export const isItsOwn = (row: OwnedRow | undefined, { generation, execution }: Closer): boolean =>
  row !== undefined &&
  (row.openedBy === execution || (row.openedBy === null && generation !== undefined)) &&
  row.generation === (generation ?? row.generation);

/** Whose writers are ended. Without a generation of its own it is not known whose there are, so none is, before the run is locked. */
export const writersOf = (by: Closer | undefined): { generation?: number; execution?: string } =>
  by ? { generation: by.generation ?? 0, execution: by.execution } : {};

/** Fails with `fenced` if nobody waits for this attempt any more. */
export async function refuseUnwanted(runKey: string, by: Closer | undefined): Promise<void> {
  if (by && !(await by.isWanted())) throw late(runKey);
}

/** Of a run that was ended before anything of it was opened. */
export const nothing: Balance = {
  read: 0,
  loaded: 0,
  duplicate: 0,
  quarantined: 0,
  skipped: 0,
  rowsOut: 0,
  uncountedBytes: 0,
  lost: 0,
  openLetters: 0,
  balanced: true,
  faults: [],
};

/** Of a run that somebody else has opened since. */
export const takenOver: Balance = {
  ...nothing,
  balanced: false,
  faults: ['The run was opened anew by another execution, which accounts for it.'],
};
