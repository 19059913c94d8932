// What lives here: when so many records are bad that loading the rest would be wrong.
// Invariant: counted over the ledger plus the chunk at hand, so neither a restart nor the size of chunks moves the limit.
// What many small sources lose together is judged when the run closes (store/judge.ts), by the same rule.
// Apart because the poison loop asks it after every single row.
import { inDigits } from '../model/duration.ts';
import type { Bins } from './context.ts';

/** Below this many records a share says nothing. */
export const RECORDS_JUDGED_MIN = 1_000;
/** But if all of the first ones are bad, it is the wrong format, and that shows early. */
export const ALL_BAD_MAX = 200;
/** Where all records are known to be here, so many bad ones are always letters: a small day is not stopped by a handful. */
export const BAD_FEW = 10;
/**
 * Whether so many bad ones of all records that there are to judge are too many. A few are always letters, but not where they are the greater part,
 * and never where nothing else was there.
 */
export const tooManyBad = (records: number, bad: number, shareMax: number): boolean =>
  bad > 0 && (bad === records || bad > Math.max(Math.min(BAD_FEW, records / 2), shareMax * records));

/** For people: `612 of 20,000 records (3.1 %, allowed are 0.5 %)`. */
export function badInWords(records: number, bad: number, shareMax: number): string {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  return `${inDigits(bad)} of ${inDigits(records)} records (${percent(bad / Math.max(1, records))}, allowed are ${percent(shareMax)})`;
}

/** Letters kept as evidence of a stop. */
export const SAMPLE_LETTERS = 20;

export interface Limit {
  /** Whether `bad` of `read` records of the chunk at hand are too many, with all that came before. */
  exceeded(read: number, bad: number): boolean;
  /** A chunk was committed. */
  add(bins: Bins): void;
  /** True for the first who asks: one stop keeps one sample, however many connections run into the limit at once. */
  stopFirst(): boolean;
  /** Whether the records are those of a sealed dataset: trying again reads the same ones. */
  readonly sealed: boolean;
  /** For people: `612 of 20,000 records (3.1 %, allowed are 0.5 %)`. */
  words(read: number, bad: number): string;
}

/**
 * `shareMax` 0..1 as declared; 1 means that every record may be bad. `before` comes from the ledger.
 * `recordsAll`: how many records there are, where that is known; then the share is a fact from the first bad record on, and all of them bad stop any number.
 */
export function createLimit(shareMax: number, before: Bins, recordsAll?: number): Limit {
  let read = before.read;
  let bad = before.quarantined;
  let stopped = false;
  return {
    sealed: recordsAll !== undefined,
    exceeded(chunkRead, chunkBad) {
      const records = read + chunkRead;
      const wrong = bad + chunkBad;
      if (shareMax >= 1) return false;
      if (recordsAll !== undefined) return tooManyBad(recordsAll, wrong, shareMax);
      if (records >= RECORDS_JUDGED_MIN && wrong > shareMax * records) return true;
      return records >= ALL_BAD_MAX && wrong === records;
    },
    add(bins) {
      read += bins.read;
      bad += bins.quarantined;
    },
    stopFirst() {
      const first = !stopped;
      stopped = true;
      return first;
    },
    words: (chunkRead, chunkBad) => badInWords(read + chunkRead, bad + chunkBad, shareMax),
  };
}
