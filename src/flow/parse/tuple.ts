// What lives here: rows of log_entries as tuples of Postgres' COPY BINARY, written straight from the bytes of the source.
// Invariant: what is written is a whole tuple with the columns in the order of LOG_COLUMNS, or nothing.
// Apart because it is the hot path's other half, and the only place that knows the binary format.
import { type Cursor, SLOT } from './format.ts';

/** The columns of a tuple, in its order; what the loader names in its COPY. */
export const LOG_COLUMNS = [
  'source_id',
  'offset',
  'line_no',
  'ts',
  'severity',
  'module',
  'message',
  'attributes',
  'data_date',
  'generation',
] as const;

/** What all rows of one reader have in common. */
export interface RowConstants {
  /** Key of the source, as a decimal number: a bigint of Postgres may be more than a double holds. */
  readonly sourceId: string;
  /** Days from 2000-01-01. */
  readonly dataDay: number;
  readonly generation: number;
}

/** What is worth telling of a row that is loaded all the same: its severity is kept as it is written, or it states none, or it has no message. */
export type Note = 'severity_unmapped' | 'severity_none' | 'message_none';

/** A row that was read as text: what formats without a byte tokeniser make. */
export interface TextRow {
  readonly seconds: number;
  readonly micros: number;
  readonly severity: string;
  readonly module: string;
  readonly message: string;
  /** jsonb as Postgres writes it, or none. */
  readonly attributes: string | undefined;
  /** Counted, and told in the run. */
  readonly notes?: readonly Note[];
}

/** Bytes of a tuple beside its texts: count, ten lengths, four bigints, a date, an integer, the version of jsonb, and slack for word-wise copying. */
export const TUPLE_OVERHEAD_BYTES = 2 + 10 * 4 + 4 * 8 + 4 + 4 + 1 + 16;

const TWO_32 = 4_294_967_296;
/** Above it, seconds times a million are no exact double any more: years before 1715 and after 2284. */
const SECONDS_EXACT_MAX = 9_007_199_254;
/** Copying by words in JavaScript beats a call into the runtime up to about this length. */
const WORDWISE_MAX = 192;

export interface TupleWriter {
  /** Begins at the start of a buffer. */
  begin(out: Buffer): void;
  /** Bytes written since `begin`. */
  used(): number;
  /** Writes a row from the fields of a cursor. The caller made sure that the buffer has room for the record and its overhead. */
  fromCursor(cursor: Cursor, offset: number, line: number): void;
  fromText(row: TextRow, offset: number, line: number): void;
}

export interface CursorShape {
  readonly severities: readonly string[];
  /** Module of every row, instead of the cursor's. */
  readonly module?: string;
  /** Writes jsonb at `at` and returns where it ends. */
  readonly attributes?: (cursor: Cursor, out: Buffer, at: number) => number;
}

/** Begin and end of every tuple: the same bytes for all rows of a reader. */
function frame({ sourceId, dataDay, generation }: RowConstants): { head: Buffer; tail: Buffer } {
  const head = Buffer.alloc(14);
  head.writeInt16BE(LOG_COLUMNS.length, 0);
  head.writeInt32BE(8, 2);
  head.writeBigInt64BE(BigInt(sourceId), 6);
  const tail = Buffer.alloc(16);
  tail.writeInt32BE(4, 0);
  tail.writeInt32BE(dataDay, 4);
  tail.writeInt32BE(4, 8);
  tail.writeInt32BE(generation, 12);
  return { head, tail };
}

/** Where writing stands. */
interface Pen {
  out: Buffer;
  view: DataView;
  at: number;
}

function putBytes(pen: Pen, bytes: Buffer): void {
  const { out, at } = pen;
  for (let index = 0; index < bytes.length; index++) out[at + index] = bytes[index]!;
  pen.at = at + bytes.length;
}

function putInt(pen: Pen, value: number): void {
  pen.view.setInt32(pen.at, value);
  pen.at += 4;
}

function putField(pen: Pen, bytes: Buffer): void {
  putInt(pen, bytes.length);
  putBytes(pen, bytes);
}

/** Copies by words; up to three bytes too many are overwritten by what follows, for which the overhead has room. */
function putSpan(pen: Pen, cursor: Cursor, from: number, to: number): void {
  const length = to - from;
  const { view, at } = pen;
  if (length > WORDWISE_MAX || to + 4 > cursor.bytes.length) {
    cursor.bytes.copy(pen.out, at, from, to);
  } else {
    const source = cursor.view;
    for (let index = 0; index < length; index += 4)
      view.setInt32(at + index, source.getInt32(from + index, true), true);
  }
  pen.at = at + length;
}

function putBigint(pen: Pen, value: number): void {
  const { view, at } = pen;
  const high = Math.floor(value / TWO_32);
  view.setInt32(at, 8);
  view.setInt32(at + 4, high);
  view.setUint32(at + 8, value - high * TWO_32);
  pen.at = at + 12;
}

function putTime(pen: Pen, seconds: number, micros: number): void {
  if (seconds < SECONDS_EXACT_MAX && seconds > -SECONDS_EXACT_MAX) return putBigint(pen, seconds * 1_000_000 + micros);
  pen.view.setInt32(pen.at, 8);
  pen.view.setBigInt64(pen.at + 4, BigInt(seconds) * 1_000_000n + BigInt(micros));
  pen.at += 12;
}

function putText(pen: Pen, value: string): void {
  const length = pen.out.write(value, pen.at + 4);
  putInt(pen, length);
  pen.at += length;
}

/** Makes a writer of tuples. */
export function tupleWriter(constants: RowConstants, shape: CursorShape): TupleWriter {
  const { head, tail } = frame(constants);
  const severities = shape.severities.map((name) => Buffer.from(name));
  const fixedModule = shape.module === undefined ? undefined : Buffer.from(shape.module);
  const none = Buffer.alloc(0);
  const pen: Pen = { out: none, view: new DataView(none.buffer, 0, 0), at: 0 };
  return {
    begin(out) {
      pen.out = out;
      pen.view = new DataView(out.buffer, out.byteOffset, out.byteLength);
      pen.at = 0;
    },
    used: () => pen.at,
    fromCursor(cursor, offset, line) {
      const { from, to, moreFrom, recordEnd } = cursor;
      putBytes(pen, head);
      putBigint(pen, offset);
      putBigint(pen, line);
      putTime(pen, cursor.seconds, cursor.micros);
      putField(pen, severities[cursor.level]!);
      if (fixedModule !== undefined) putField(pen, fixedModule);
      else {
        putInt(pen, to[SLOT.module]! - from[SLOT.module]!);
        putSpan(pen, cursor, from[SLOT.module]!, to[SLOT.module]!);
      }
      putInt(pen, to[SLOT.message]! - from[SLOT.message]! + recordEnd - moreFrom);
      putSpan(pen, cursor, from[SLOT.message]!, to[SLOT.message]!);
      if (moreFrom < recordEnd) putSpan(pen, cursor, moreFrom, recordEnd);
      if (shape.attributes === undefined) putInt(pen, -1);
      else {
        const end = shape.attributes(cursor, pen.out, pen.at + 4);
        putInt(pen, end - pen.at - 4);
        pen.at = end;
      }
      putBytes(pen, tail);
    },
    fromText(row, offset, line) {
      putBytes(pen, head);
      putBigint(pen, offset);
      putBigint(pen, line);
      putTime(pen, row.seconds, row.micros);
      putText(pen, row.severity);
      putText(pen, row.module);
      putText(pen, row.message);
      if (row.attributes === undefined) putInt(pen, -1);
      else putText(pen, `\u0001${row.attributes}`);
      putBytes(pen, tail);
    },
  };
}
