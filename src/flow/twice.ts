// What lives here: whether a reprocessing puts records into a table that another run has put there before, and the question that is asked then.
// Invariant: asked in the transaction that would add the rows, so none of them is there yet; only a person who says so lets records stand there twice.
// Apart because a table by position cannot hold a record twice, and what goes by a key with a date in it, or into another dataset, can.
import { CodedError } from '../model/failure.ts';
import { shellWord } from '../model/shell.ts';
import type { Db } from '../store/db.ts';
import { type LedgerKey, madeByOthers } from '../store/ledger.ts';
import { rowsInWords } from './fewer.ts';
import type { Range } from './types.ts';

/** What is added, in words for people. */
export interface Added {
  readonly table: string;
  /** Rows that were not there before. */
  readonly rows: number;
  readonly range: Range;
}

/** Fails with `rows_twice` where another run made rows of the same bytes, and more are added than it set aside. */
export async function refuseTwice(db: Db, key: LedgerKey, { table, rows, range }: Added): Promise<void> {
  const [other] = await madeByOthers(db, key, range);
  if (!other || rows <= other.bad) return;
  const run = shellWord(key.runKey);
  throw new CodedError(
    'rows_twice',
    `Run ${other.runKey} has loaded bytes ${range.from} to ${range.to} of this source before, and this run would add ${rowsInWords(rows)} of them to ${table} beside those, such as under another date. Nothing of the chunk was loaded. ` +
      `If they belong where they are: mendflow abort ${run} --reason "…", and to load them anew there start that run again with --force. ` +
      `If they belong to this run, delete those of the other; then, or to have both: mendflow retry ${run} ${shellWord(key.stage)} --reason "…"`,
  );
}
