// What lives here: whether a reprocessing would leave fewer rows than there were, and the question that is asked then.
// Invariant: asked before the first row is gone; only a person who said so lets rows vanish, and then they are counted as lost.
// Apart because chunks by position, dates by key and records that were made anew ask the same question at different moments.
import { inDigits } from '../model/duration.ts';
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
  /** That code fails, and where: the first thing to know. */
  readonly mistake?: string;
  /** Whether there are letters to look at. */
  readonly letters?: boolean;
}

/** `1 row`, `2,500 rows`. */
export const rowsInWords = (n: number): string => (n === 1 ? '1 row' : `${inDigits(n)} rows`);

export function rowsFewer({ runKey, stage }: Pick<LedgerKey, 'runKey' | 'stage'>, fewer: Fewer): CodedError {
  return new CodedError(
    'rows_fewer',
    `${fewer.mistake === undefined ? '' : `${fewer.mistake} `}${fewer.table} has ${rowsInWords(fewer.before)} where this reading makes ${inDigits(fewer.after)} (${fewer.why}). None of them is deleted unless you say so. ` +
      `${fewer.letters === true ? `See what is wrong: \`mendflow letters list --run ${shellWord(runKey)}\`. ` : ''}If the code is wrong, mend it, then retry. If fewer rows are right, this deletes ${rowsInWords(fewer.before - fewer.after)} of the table: mendflow accept-loss ${shellWord(runKey)} ${shellWord(stage)} --reason "…"`,
  );
}

/** What is wrong with these records, by number: ` (4 record_invalid, 1 record_refused)`; nothing where there are none. */
export function codesInWords(codes: readonly (readonly [code: string, count: number])[]): string {
  if (codes.length === 0) return '';
  const named = codes.toSorted((a, b) => b[1] - a[1]).slice(0, CODES_MAX);
  const more = codes.length > named.length ? `, and ${codes.length - named.length} codes more` : '';
  return ` (${named.map(([code, n]) => `${inDigits(n)} ${code}`).join(', ')}${more})`;
}
const CODES_MAX = 5;

/** Kept with the ledger beside the number. */
export const acceptedFewer = ({ actor, reason }: AcceptedLoss): string =>
  `fewer rows accepted by ${actor}: ${reason}`.replaceAll('\0', '');
