// What lives here: the seam of the data plane. A reader cuts a source into chunks; the loader commits chunks; neither knows the other.
// Invariant: every record of the range [from, to) is in exactly one of rows, rejects or skipped of its chunk.
// Apart because the parser thread, the record path, the loader and the poison loop all speak only this.

/** One thing wrong with one record. `message` may quote the record, so it is sealed before it is stored. */
export interface Violation {
  readonly field: string;
  readonly code: string;
  readonly message: string;
  /** Where in the project's own code an error was thrown that refuses no record but is one itself. */
  readonly place?: string;
}

/** A record that cannot be loaded, with coordinates good enough to find it in the source again. */
export interface Reject {
  /** Byte offset of the record in the decoded stream. */
  readonly offset: number;
  /** Bytes of the record, final newline included where there is one. */
  readonly length: number;
  /** Physical line number, from 1. */
  readonly line: number;
  /** The record's bytes without the final newline, at most RAW_BYTES_MAX of them. */
  readonly raw: Uint8Array;
  /** False if `raw` was cut. */
  readonly rawWhole: boolean;
  /** sha256 of the whole record, also where `raw` was cut. */
  readonly rawSha256: Uint8Array;
  /** The code of the first violation; what groups letters. */
  readonly code: string;
  /** All of them, not only the first. */
  readonly violations: readonly Violation[];
}

/** Evidence kept of one bad record; the rest is known by length and sha256. */
export const RAW_BYTES_MAX = 64 * 1024;

/** A range of a source that is committed at once. */
export interface Chunk {
  /** Byte range in the decoded stream, [from, to). */
  readonly from: number;
  readonly to: number;
  readonly firstLine: number;
  /** Physical lines in the range. */
  readonly lines: number;
  /** Rows to load. */
  readonly rows: number;
  /** COPY BINARY tuples of those rows, without header and trailer. */
  readonly tuples: Uint8Array;
  /** Per row: where its record starts and how many bytes it has; what a letter needs when the database refuses the row. */
  readonly offsets: Float64Array;
  readonly lengths: Uint32Array;
  /** Per row: the physical line where its record starts, from 1. A reader whose rows hold it as their `line_no` may leave it out. */
  readonly lineNumbers?: Float64Array;
  /** Records left out on purpose (blank lines, for example). */
  readonly skipped: number;
  readonly rejects: readonly Reject[];
  /** How many of the rows there is something to tell of, by what. */
  readonly notes?: Readonly<Record<string, number>>;
  /** Over all bytes of the range. */
  readonly rawSha256: Uint8Array;
  /** Over `tuples`. */
  readonly rowsSha256: Uint8Array;
}

export interface Range {
  readonly from: number;
  readonly to: number;
  /** Physical line at `from`, where it is known; else the reader counts the lines before it. */
  readonly firstLine?: number;
}

/** A source that was opened for one attempt: one descriptor, read exactly over the ranges it is asked for. */
export interface ChunkReader {
  /**
   * Chunks in order; each lies within one of the ranges. Ends early when `signal` aborts.
   * `lazily`: nothing is parsed before it is asked for, at the price of speed; safe mode needs to know what is in hand.
   */
  chunks(
    ranges: readonly Range[],
    options: { recordsMax: number; signal: AbortSignal; lazily?: boolean },
  ): AsyncIterable<Chunk>;
  /** Hands the buffer of a finished chunk back; forgetting to is slower, never wrong. */
  release(chunk: Chunk): void;
  /** Bytes of the source again, for a letter about a row that the database refused. */
  raw(offset: number, length: number): Promise<Uint8Array>;
  /** Whether the source still holds what was read of it; without it, a source never changes. `whole`: looked at closely, where it was written to. */
  holds?(proofs: readonly Proof[], whole: boolean): Promise<boolean>;
  close(): Promise<void>;
}

/** A committed range with the hash of its bytes. */
export interface Proof extends Range {
  readonly rawSha256: Uint8Array;
}
