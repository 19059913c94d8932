// What lives here: bytes in, chunks out: records are found, read, written as tuples or rejected, counted and hashed.
// Invariant: the records of a chunk tile its range; a chunk ends at the end of a record; memory is bounded whatever the bytes are.
// Apart because the parser thread and the in-process reader run exactly this, so that both make the same chunks.
import { createHash, hash, type Hash } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { type Chunk, RAW_BYTES_MAX, type Reject, type Violation } from '../types.ts';
import { type Compiled, compile } from '../parse/compile.ts';
import type { Format } from '../parse/format.ts';
import type { Note, RowConstants } from '../parse/tuple.ts';
import { bomAt, enter, filledBy, isClean, newWindow, nextRecord, recordEnd, space, type Window } from './window.ts';

export interface CutterSettings {
  readonly format: Format;
  readonly constants: RowConstants;
  /** Records in a chunk, at most. */
  readonly recordsMax: number;
  /** Bytes of a record, newline included, above which it is rejected unread. Default 1 MiB. */
  readonly recordBytesMax?: number;
  /** Bytes of all ranges, so that a small source gets small buffers: where many follow one another, large ones are most of the work. */
  readonly bytesAll?: number;
}

export const RECORD_BYTES_MAX = 1 << 20;

/** A chunk is cut when its tuples or its evidence of bad records would take more than this. */
const TUPLE_BYTES_MIN = 1 << 20;
const TUPLE_BYTES_MAX = 8 << 20;
const EVIDENCE_BYTES_MAX = 4 << 20;
/** Tuple bytes of a usual record; sizes the buffers. */
const TUPLE_BYTES_USUAL = 256;
/** More than a record of a single byte can take, and than any byte of a longer one: a small source is not cut because its buffer is small. */
const TUPLE_BYTES_OF_BYTE = 512;
const TUPLE_BYTES_OF_NONE = 4096;

/** A record longer than the limit, while its end is still being looked for. */
interface Long {
  /** The first bytes of it, as many as are kept. */
  readonly raw: Buffer;
  readonly sha256: Hash;
  lines: number;
  length: number;
}

const newLong = (): Long => ({ raw: Buffer.alloc(RAW_BYTES_MAX), sha256: createHash('sha256'), lines: 0, length: 0 });

/** Adds bytes to a long record; what is kept of it must not depend on the portions in which it came. */
function lengthen(long: Long, part: Buffer): void {
  if (long.length < RAW_BYTES_MAX) part.copy(long.raw, long.length);
  long.sha256.update(part);
  long.length += part.length;
}

/** The cutter of one run over ranges. Its functions are below; nothing else touches it. */
export interface Cutter {
  readonly settings: Required<CutterSettings>;
  readonly compiled: Compiled;
  readonly window: Window;
  readonly spare: Buffer[];
  out: Buffer;
  offsets: Float64Array;
  lengths: Uint32Array;
  rows: number;
  skipped: number;
  rejects: Reject[];
  evidence: number;
  notes: Partial<Record<Note, number>>;
  /** Where the chunk that is being made begins, and the line there. */
  from: number;
  firstLine: number;
  /** Physical line of the record that is being looked for. */
  line: number;
  raw: Hash;
  /** Up to this index of the window, bytes are in `raw`. */
  hashed: number;
  long: Long | undefined;
}

/** Makes a cutter. Throws RangeError if the format is declared wrong. */
export function newCutter(given: CutterSettings): Cutter {
  const settings = { recordBytesMax: RECORD_BYTES_MAX, bytesAll: Infinity, ...given };
  const compiled = compile(settings.format, settings.constants);
  const window = newWindow(settings.recordBytesMax, settings.bytesAll);
  // A record has at least one byte.
  const rowsMax = Math.min(settings.recordsMax, settings.bytesAll + 1);
  compiled.cursor.bytes = window.bytes;
  compiled.cursor.view = window.view;
  const cutter: Cutter = {
    settings,
    compiled,
    window,
    spare: [],
    out: Buffer.alloc(0),
    offsets: new Float64Array(rowsMax),
    lengths: new Uint32Array(rowsMax),
    rows: 0,
    skipped: 0,
    rejects: [],
    evidence: 0,
    notes: {},
    from: 0,
    firstLine: 1,
    line: 1,
    raw: createHash('sha256'),
    hashed: 0,
    long: undefined,
  };
  takeBuffer(cutter, 0);
  return cutter;
}

/** Begins a range. `line` is the physical line at `from`, from 1. */
export function cutRange(cutter: Cutter, from: number, to: number, line: number): void {
  enter(cutter.window, from, to);
  cutter.from = from;
  cutter.firstLine = line;
  cutter.line = line;
  cutter.hashed = 0;
}

/** Where the next bytes of the range belong; empty once all of it was given. */
export function room(cutter: Cutter): Buffer {
  hashUpTo(cutter, cutter.window.start);
  cutter.hashed -= cutter.window.start;
  return space(cutter.window);
}

/** Says how many bytes came. */
export const filled = (cutter: Cutter, count: number): void => filledBy(cutter.window, count);

/** Hands back the memory of a chunk, for the next one. */
export function giveBack(cutter: Cutter, memory: ArrayBuffer): void {
  if (memory.byteLength === bufferBytes(cutter) && cutter.spare.length < 4) cutter.spare.push(Buffer.from(memory));
}

/** The next finished chunk; `more` if bytes are needed first; `end` behind the last record of the range. */
export function nextChunk(cutter: Cutter): Chunk | 'more' | 'end' {
  const { window, settings } = cutter;
  while (window.base + window.start < window.to) {
    const end = recordEnd(window, cutter.compiled.head);
    if (end < 0) {
      if (window.scan - window.start > settings.recordBytesMax) swallow(cutter);
      return 'more';
    }
    if (!takeRecord(cutter, end)) return finish(cutter);
    if (cutter.rows + cutter.skipped + cutter.rejects.length >= settings.recordsMax) return finish(cutter);
    if (cutter.evidence >= EVIDENCE_BYTES_MAX) return finish(cutter);
  }
  return cutter.rows + cutter.skipped + cutter.rejects.length > 0 ? finish(cutter) : 'end';
}

/** Takes the record that ends at `end`; false if it needs a chunk of its own because this one's memory is full. */
function takeRecord(cutter: Cutter, end: number): boolean {
  const { window, settings, compiled } = cutter;
  const { bytes, start } = window;
  const length = end - start;
  const newline = length > 0 && bytes[end - 1] === 10 ? 1 : 0;
  const lines = window.lines + 1;
  if (cutter.long !== undefined || length > settings.recordBytesMax) {
    rejectLong(cutter, end, newline);
    advance(cutter, end, lines);
    return true;
  }
  if (isBlank(bytes, start, end)) {
    cutter.skipped++;
    advance(cutter, end, lines);
    return true;
  }
  const fault = bytesFault(window, start, end);
  setCursor(cutter, end - newline);
  if (fault === undefined && compiled.read(compiled.cursor)) {
    const need = compiled.need(length);
    if (compiled.writer.used() + need > cutter.out.length) {
      if (cutter.rows + cutter.skipped + cutter.rejects.length > 0) return false;
      takeBuffer(cutter, need);
    }
    cutter.offsets[cutter.rows] = window.base + start;
    cutter.lengths[cutter.rows] = length;
    compiled.write(window.base + start, cutter.line);
    cutter.rows++;
    for (const note of compiled.notes?.() ?? []) cutter.notes[note] = (cutter.notes[note] ?? 0) + 1;
  } else {
    setCursor(cutter, end - newline);
    reject(cutter, start, end - newline, length, violationsOf(cutter, fault));
  }
  advance(cutter, end, lines);
  return true;
}

/** Sets the cursor to the record that begins at the window's start and ends, without its newline, at `end`. */
function setCursor({ window, compiled: { cursor } }: Cutter, end: number): void {
  const { bytes, start, firstNewline } = window;
  const headEnd = firstNewline >= 0 && firstNewline < end ? firstNewline : end;
  const lastReturn = end > start && bytes[end - 1] === 13 ? 1 : 0;
  cursor.pos = start + bomAt(window);
  cursor.end = headEnd > start && bytes[headEnd - 1] === 13 ? headEnd - 1 : headEnd;
  cursor.recordEnd = end - lastReturn;
  cursor.moreFrom = headEnd < cursor.recordEnd && headEnd < end ? headEnd : cursor.recordEnd;
}

/** Spaces, tabs and line ends only. */
function isBlank(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    if (byte > 32 || (byte !== 32 && byte !== 10 && byte !== 13 && byte !== 9)) return false;
  }
  return true;
}

/** What makes a record unfit for any text column, if anything does. */
function bytesFault(window: Window, from: number, to: number): Violation | undefined {
  if (isClean(window, from, to)) return undefined;
  const record = window.bytes.subarray(from, to);
  if (!isUtf8(record)) return { field: 'line', code: 'utf8_invalid', message: 'The bytes are not valid UTF-8.' };
  const nul = record.indexOf(0);
  if (nul < 0) return undefined;
  return { field: 'line', code: 'nul_byte', message: `Byte ${nul} is NUL, which a text of Postgres cannot hold.` };
}

function violationsOf({ compiled }: Cutter, fault: Violation | undefined): Violation[] {
  const { cursor, head } = compiled;
  // Where only traces continue a record, a line that is neither head nor trace has faults of its own.
  if (head?.continues === undefined && head?.isHead(cursor.bytes, cursor.pos, cursor.end) === false) {
    const message = 'The line continues a record that is not in this part of the source.';
    return [...(fault ? [fault] : []), { field: 'line', code: 'orphan', message }];
  }
  if (fault === undefined) return compiled.explain(cursor);
  const { pos } = cursor;
  const good = compiled.read(cursor);
  cursor.pos = pos;
  return good ? [fault] : [fault, ...compiled.explain(cursor)];
}

/** Keeps a bad record as a reject; `end` is before its newline. */
function reject(cutter: Cutter, start: number, end: number, length: number, violations: readonly Violation[]): void {
  const { window } = cutter;
  const record = window.bytes.subarray(start, end);
  const raw = Uint8Array.from(record.subarray(0, RAW_BYTES_MAX));
  cutter.evidence += raw.length + 256;
  cutter.rejects.push({
    offset: window.base + start,
    length,
    line: cutter.line,
    raw,
    rawWhole: raw.length === record.length,
    rawSha256: Uint8Array.from(hash('sha256', record, 'buffer')),
    code: violations[0]!.code,
    violations,
  });
}

/** Gives up the bytes of a record that is too long to be kept, hashed and counted. */
function swallow(cutter: Cutter): void {
  const { window } = cutter;
  cutter.long ??= newLong();
  let end = window.scan;
  // A few NULs at the end may be the beginning of a hole, which is known by its length.
  if (window.hole < 0) while (end > window.start && window.bytes[end - 1] === 0) end--;
  lengthen(cutter.long, window.bytes.subarray(window.start, end));
  cutter.long.lines += window.lines;
  hashUpTo(cutter, end);
  // The record goes on: only what is known of it is given up, not that its first line was a head.
  window.start = end;
  window.lines = 0;
}

function rejectLong(cutter: Cutter, end: number, newline: number): void {
  const { window, settings } = cutter;
  const long = cutter.long ?? newLong();
  const before = long.length;
  lengthen(long, window.bytes.subarray(window.start, end - newline));
  const length = long.length + newline;
  const code = window.hole >= 0 ? 'nul_byte' : 'record_too_long';
  const message =
    window.hole >= 0
      ? `The record has ${length} bytes and ends in a hole of NULs, as a crash leaves it; what stands behind it is read.`
      : `The record has ${length} bytes, more than the ${settings.recordBytesMax} that are allowed.`;
  cutter.rejects.push({
    offset: window.base + window.start - before,
    length,
    line: cutter.line,
    raw: Uint8Array.from(long.raw.subarray(0, Math.min(RAW_BYTES_MAX, long.length))),
    rawWhole: long.length <= RAW_BYTES_MAX,
    rawSha256: Uint8Array.from(long.sha256.digest()),
    code,
    violations: [{ field: 'line', code, message }],
  });
  cutter.evidence += RAW_BYTES_MAX;
  cutter.line += long.lines;
  cutter.long = undefined;
}

/** The record is accounted for: the next one begins at `end`. */
function advance(cutter: Cutter, end: number, lines: number): void {
  cutter.line += lines;
  nextRecord(cutter.window, end);
}

function hashUpTo(cutter: Cutter, end: number): void {
  if (end > cutter.hashed) cutter.raw.update(cutter.window.bytes.subarray(cutter.hashed, end));
  cutter.hashed = Math.max(cutter.hashed, end);
}

/** Closes the chunk at the start of the record that is looked for next. */
function finish(cutter: Cutter): Chunk {
  const { window, compiled, rows } = cutter;
  hashUpTo(cutter, window.start);
  // No Buffer: its `slice` is a view, that of the array which comes from a thread is a copy.
  const tuples = new Uint8Array(cutter.out.buffer, cutter.out.byteOffset, compiled.writer.used());
  const chunk: Chunk = {
    from: cutter.from,
    to: window.base + window.start,
    firstLine: cutter.firstLine,
    lines: cutter.line - cutter.firstLine,
    rows,
    tuples,
    offsets: cutter.offsets.slice(0, rows),
    lengths: cutter.lengths.slice(0, rows),
    skipped: cutter.skipped,
    rejects: cutter.rejects,
    ...(Object.keys(cutter.notes).length === 0 ? {} : { notes: cutter.notes }),
    rawSha256: Uint8Array.from(cutter.raw.digest()),
    rowsSha256: Uint8Array.from(hash('sha256', tuples, 'buffer')),
  };
  cutter.raw = createHash('sha256');
  cutter.from = chunk.to;
  cutter.firstLine = cutter.line;
  cutter.rows = 0;
  cutter.skipped = 0;
  cutter.rejects = [];
  cutter.evidence = 0;
  cutter.notes = {};
  takeBuffer(cutter, 0);
  return chunk;
}

const bufferBytes = ({ settings }: Cutter): number =>
  Math.min(
    TUPLE_BYTES_MAX,
    Math.max(TUPLE_BYTES_MIN, settings.recordsMax * TUPLE_BYTES_USUAL),
    TUPLE_BYTES_OF_NONE + settings.bytesAll * TUPLE_BYTES_OF_BYTE,
  );

/** A buffer for the tuples of the next chunk: one that was handed back, or a new one; a larger one for a record that needs it. */
function takeBuffer(cutter: Cutter, need: number): void {
  const usual = bufferBytes(cutter);
  const spare = need > usual ? undefined : cutter.spare.pop();
  cutter.out = spare ?? Buffer.allocUnsafeSlow(Math.max(usual, need));
  cutter.compiled.writer.begin(cutter.out);
}
