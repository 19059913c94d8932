// What lives here: when so many records are bad that loading the rest would be wrong.
// Invariant: counted over the ledger plus the chunk at hand, so neither a restart nor the size of chunks moves the limit.
// Apart because the poison loop asks it after every single row.
import type { Bins } from './context.ts';

/** Below this many records a share says nothing. */
export const RECORDS_JUDGED_MIN = 1_000;
/** But if all of the first ones are bad, it is the wrong format, and that shows early. */
export const ALL_BAD_MAX = 200;
/** Where all records are known to be here, so many bad ones are always letters: a small day is not stopped by a handful. */
export const BAD_FEW = 10;
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
      if (recordsAll !== undefined)
        return wrong > Math.max(BAD_FEW, shareMax * recordsAll) || (wrong > 0 && wrong === recordsAll);
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
    words(chunkRead, chunkBad) {
      const records = read + chunkRead;
      const wrong = bad + chunkBad;
      const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
      return `${wrong.toLocaleString('en-US')} of ${records.toLocaleString('en-US')} records (${percent(wrong / Math.max(1, records))}, allowed are ${percent(shareMax)})`;
    },
  };
}
