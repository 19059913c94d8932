// What lives here: whether a reprocessing would leave fewer rows than there were, and the question that is asked then.
// Invariant: asked before the first row is gone; only a person who said so lets rows vanish, and then they are counted as lost.
// Apart because chunks by position, dates by key and records that were made anew ask the same question at different moments.
import { CodedError } from '../model/failure.ts';
import { shellWord } from '../model/shell.ts';
import type { AcceptedLoss } from './context.ts';
import type { LedgerKey } from '../store/ledger.ts';

/** Of records that came anew so many may be gone because the upstream has them no more. Of the very same bytes no row vanishes but by the code. */
const GONE_SHARE_MAX = 0.05;

export const isFewerOfNew = (before: number, after: number): boolean =>
  after < before && (after === 0 || before - after > GONE_SHARE_MAX * before);

/** What is compared, in words for people. */
export interface Fewer {
  readonly table: string;
  readonly before: number;
  readonly after: number;
  /** What was read instead: `3 records were quarantined and 1 was skipped`. */
  readonly why: string;
}

const count = (n: number): string => n.toLocaleString('en-US');

/** `1 row`, `2,500 rows`. */
export const rowsInWords = (n: number): string => (n === 1 ? '1 row' : `${count(n)} rows`);

export function rowsFewer({ runKey, stage }: Pick<LedgerKey, 'runKey' | 'stage'>, fewer: Fewer): CodedError {
  return new CodedError(
    'rows_fewer',
    `${fewer.table} has ${rowsInWords(fewer.before)} where this reading makes ${count(fewer.after)} (${fewer.why}). None of them is deleted unless you say so. ` +
      `If the code is wrong, mend it, then retry. If fewer rows are right, this deletes ${rowsInWords(fewer.before - fewer.after)} of the table: mendflow accept-loss ${shellWord(runKey)} ${shellWord(stage)} --reason "…"`,
  );
}

/** Kept with the ledger beside the number. */
export const acceptedFewer = ({ actor, reason }: AcceptedLoss): string =>
  `fewer rows accepted by ${actor}: ${reason}`.replaceAll('\0', '');
