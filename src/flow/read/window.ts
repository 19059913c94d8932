// What lives here: the bytes of a source between the reader and the tokeniser, and where the next record in them ends.
// Invariant: bytes enter once and leave once, hashed; which bytes make a record never depends on how they came in.
// Apart because buffer borders are where parsers break: here is the only code that knows of them.
import { isUtf8 } from 'node:buffer';
import { type Head, HEAD_BYTES_MAX } from '../parse/head.ts';

/** Bytes that are read from the source at once. */
const BLOCK_BYTES = 1 << 20;

export interface Window {
  readonly bytes: Buffer;
  readonly view: DataView;
  /** Offset in the source of the window's first byte. A plain number: bit operators would break it at 2 GiB. */
  base: number;
  /** First byte of the record that is being looked for. */
  start: number;
  /** End of the bytes that are there. */
  filled: number;
  /** Up to here no end of the record was found. */
  scan: number;
  /** Newlines between `start` and `scan`. */
  lines: number;
  /** Whether the lines after the record's first may belong to it; undefined until enough of it is there to tell. */
  joins: boolean | undefined;
  /** Whether the record has lines of a trace. */
  traced: boolean;
  /** Where a head is known to be, found as the end of the record before it; -1 where none is. */
  headAt: number;
  /** Where the record has run into a hole of NULs whose end is still being looked for, or -1. */
  hole: number;
  /** The record's first newline, or -1. */
  firstNewline: number;
  /** Up to here bytes were checked to be UTF-8 without NUL. */
  checked: number;
  /** Where that check failed: begin and end of each stretch, in order. */
  dirty: number[];
  /** End of the range, an offset in the source. */
  to: number;
}

export const newWindow = (recordBytesMax: number, bytesAll: number): Window => {
  const bytes = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES + recordBytesMax, bytesAll) + HEAD_BYTES_MAX + 4096);
  return {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    base: 0,
    start: 0,
    filled: 0,
    scan: 0,
    lines: 0,
    joins: undefined,
    traced: false,
    headAt: -1,
    hole: -1,
    firstNewline: -1,
    checked: 0,
    dirty: [],
    to: 0,
  };
};

/** Begins a range of the source. */
export function enter(window: Window, from: number, to: number): void {
  window.base = from;
  window.to = to;
  window.start = 0;
  window.filled = 0;
  window.checked = 0;
  window.dirty = [];
  window.headAt = -1;
  nextRecord(window, 0);
}

/** The record that begins at `start` is the next to be looked for. */
export function nextRecord(window: Window, start: number): void {
  window.start = start;
  window.scan = start;
  window.lines = 0;
  window.joins = undefined;
  window.traced = false;
  window.hole = -1;
  window.firstNewline = -1;
}

/** True if the window holds all that is left of the range. */
const atEnd = (window: Window): boolean => window.base + window.filled >= window.to;

/** Where the next bytes of the source belong. What is before `start` is given up, so it must have been hashed. */
export function space(window: Window): Buffer {
  const { bytes, start } = window;
  if (start > 0) {
    bytes.copyWithin(0, start, window.filled);
    window.base += start;
    window.filled -= start;
    window.scan -= start;
    window.checked = Math.max(0, window.checked - start);
    window.dirty = window.dirty.map((at) => Math.max(0, at - start));
    while (window.dirty.length > 0 && window.dirty[1] === 0) window.dirty.splice(0, 2);
    if (window.firstNewline >= 0) window.firstNewline -= start;
    window.headAt = Math.max(-1, window.headAt - start);
    if (window.hole >= 0) window.hole = Math.max(0, window.hole - start);
    window.start = 0;
  }
  const length = Math.min(BLOCK_BYTES, window.to - window.base - window.filled);
  return bytes.subarray(window.filled, window.filled + length);
}

/** Bytes that are checked at once where a whole block failed. */
const STRETCH_BYTES = 4096;

const isText = (bytes: Buffer): boolean => isUtf8(bytes) && !bytes.includes(0);

/**
 * Says how many bytes came into `space`. They are checked in one piece up to the last newline, which costs next to nothing;
 * where that fails, in stretches, and only a record that touches a bad stretch is looked at by itself: a bad byte costs one record.
 */
export function filledBy(window: Window, count: number): void {
  window.filled += count;
  const { bytes, checked } = window;
  const end = atEnd(window) ? window.filled : bytes.lastIndexOf(10, window.filled - 1) + 1;
  if (end <= checked) return;
  window.checked = end;
  if (isText(bytes.subarray(checked, end))) return;
  for (let from = checked; from < end;) {
    const newline = from + STRETCH_BYTES < end ? bytes.indexOf(10, from + STRETCH_BYTES) : -1;
    const to = newline < 0 || newline >= end ? end : newline + 1;
    if (!isText(bytes.subarray(from, to))) {
      if (window.dirty.at(-1) === from) window.dirty[window.dirty.length - 1] = to;
      else window.dirty.push(from, to);
    }
    from = to;
  }
}

/** True if the record `[from, to)` is known to be UTF-8 without NUL; false if it has to be looked at. */
export function isClean({ checked, dirty }: Window, from: number, to: number): boolean {
  if (to > checked) return false;
  for (let index = 0; index < dirty.length; index += 2)
    if (from < dirty[index + 1]! && to > dirty[index]!) return false;
  return true;
}

/** NULs in a row that are no accident of a line: a crash and a file that was truncated under its writer leave blocks of them. */
const HOLE_BYTES_MIN = 16;
const HOLE = Buffer.alloc(HOLE_BYTES_MIN);

const NULS = Buffer.alloc(STRETCH_BYTES);

/** The first byte of `[from, to)` that is no NUL, or `to`. Whole stretches are compared at once: a hole may have gigabytes. */
function endOfNuls(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at + STRETCH_BYTES <= to && bytes.compare(NULS, 0, STRETCH_BYTES, at, at + STRETCH_BYTES) === 0)
    at += STRETCH_BYTES;
  while (at < to && bytes[at] === 0) at++;
  return at;
}

function newlinesIn(bytes: Buffer, from: number, to: number): number {
  let lines = 0;
  for (let at = bytes.indexOf(10, from); at >= 0 && at < to; at = bytes.indexOf(10, at + 1)) lines++;
  return lines;
}

/**
 * End of the record that begins at `start`, its newline included; -1 if more bytes are needed to tell. A hole of NULs ends the line that it
 * tore and its record with it: what was written behind the hole is good again.
 */
export function recordEnd(window: Window, head: Head | undefined): number {
  const { bytes, start } = window;
  const known = window.hole >= 0;
  const end = known ? -1 : joinedEnd(window, head);
  const upTo = end < 0 ? window.scan : end;
  if (!known && isClean(window, start, upTo)) return end;
  // Looked for in this record alone: a bad byte makes its neighbours suspect, and each would search all that has been read.
  const searched = Math.min(window.filled, upTo + HOLE_BYTES_MIN - 1);
  const from = known ? Math.max(start, window.hole) : bytes.subarray(0, searched).indexOf(HOLE, start);
  if (from < 0 || (!known && from >= upTo)) return end;
  const to = endOfNuls(bytes, known ? Math.max(from, window.scan) : from, window.filled);
  window.hole = from;
  if (to === window.filled && !atEnd(window)) {
    window.scan = to;
    // The lines before the hole; a record that is too long is counted from here, piece by piece.
    if (!known) window.lines = newlinesIn(bytes, start, from);
    return -1;
  }
  // As everywhere, a last line without its end counts as a line.
  const unended = to === window.filled && atEnd(window) && bytes[to - 1] !== 10 ? 1 : 0;
  window.lines = newlinesIn(bytes, start, to) - 1 + unended;
  return to;
}

/** The end of the record by its lines. */
function joinedEnd(window: Window, head: Head | undefined): number {
  const { bytes, filled } = window;
  const last = atEnd(window);
  if (window.joins === undefined) {
    if (head !== undefined && !last && filled - window.start < head.length + BOM.length) return -1;
    // A line that is no head where a record should begin stands for itself: what it continues is not in this range.
    const begin = window.start + bomAt(window);
    window.joins = head !== undefined && (window.headAt === begin || head.isHead(bytes, begin, filled));
  }
  const joins = head !== undefined && window.joins;
  for (;;) {
    const newline = bytes.indexOf(10, window.scan);
    if (newline < 0 || newline >= filled) {
      window.scan = filled;
      return last ? filled : -1;
    }
    const next = newline + 1;
    if (joins && next < filled) {
      if (!last && filled - next < head.length) {
        window.scan = newline;
        return -1;
      }
      if (window.firstNewline < 0) window.firstNewline = newline;
      // What begins with a hole continues nothing.
      if (bytes[next] === 0) return next;
      if (head.isHead(bytes, next, filled)) {
        window.headAt = next;
        return next;
      }
      if (head.continues !== undefined) {
        if (!head.continues(bytes, next, filled, window.traced)) return next;
        window.traced = true;
      }
      window.scan = next;
      window.lines++;
      continue;
    }
    if (joins && !last) {
      window.scan = newline;
      return -1;
    }
    if (window.firstNewline < 0) window.firstNewline = newline;
    return next;
  }
}

const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/** Bytes of a byte order mark at the start of the source: part of the first record, but not of its text. */
export const bomAt = (window: Window): number =>
  window.base + window.start === 0 && window.filled >= 3 && window.bytes.subarray(0, 3).equals(BOM) ? 3 : 0;
