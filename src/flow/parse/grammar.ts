// What lives here: the byte tokeniser, made from a declared line. It says only whether a line is good, and where its fields are.
// Invariant: it allocates nothing for a line, and never reads at or behind `cursor.end`.
// Apart because it is the hot path; what is wrong with a bad line is found out elsewhere (diagnose.ts), slowly and completely.
import { type Cursor, type GrammarFormat, type Piece, SLOT } from './format.ts';
import { timeReader } from './time.ts';

/** Reads one piece at `cursor.pos` and moves behind it; false if the line is not as declared. */
type Step = (cursor: Cursor) => boolean;

/** One piece with its reader. `after` is the literal that the reader takes with it; a step without a piece reads a literal alone. */
export interface GrammarStep {
  readonly piece: Exclude<Piece, string> | undefined;
  readonly after: string;
  readonly step: Step;
}

export interface Grammar {
  readonly steps: readonly GrammarStep[];
  /** Slot of each named field. */
  readonly slots: ReadonlyMap<string, number>;
  /** All steps in order, to the end of the line. */
  readonly read: Step;
}

/** Names a declaration's mistake; raised when a worker starts, never for data. */
const wrong = (format: GrammarFormat, what: string): RangeError =>
  new RangeError(`Format "${format.name}" is declared wrong: ${what}.`);

/** Fields in the order in which they are named, columns first; what gives each its slot. */
function slotsOf(format: GrammarFormat): Map<string, number> {
  const slots = new Map<string, number>([
    ['module', SLOT.module],
    ['message', SLOT.message],
  ]);
  const add = (name: string): void => {
    if (!slots.has(name)) slots.set(name, slots.size);
  };
  for (const piece of format.line) {
    if (typeof piece === 'string') continue;
    if ('text' in piece) add(piece.text);
    else if ('quoted' in piece) add(piece.quoted);
    else if ('number' in piece) add(piece.number);
    else if ('rest' in piece) {
      add(piece.rest);
      if (piece.last) add(piece.last.text);
    }
  }
  for (const word of format.words?.into ?? []) add(word);
  return slots;
}

/** True if `literal` stands at `at`. */
const standsAt = (cursor: Cursor, literal: Buffer, at: number): boolean => {
  if (cursor.end - at < literal.length) return false;
  for (let index = 0; index < literal.length; index++) if (cursor.bytes[at + index] !== literal[index]) return false;
  return true;
};

function literalStep(text: string): Step {
  const literal = Buffer.from(text);
  return (cursor) => {
    if (!standsAt(cursor, literal, cursor.pos)) return false;
    cursor.pos += literal.length;
    return true;
  };
}

/** A field up to the literal after it; the literal is read with it. */
function textStep(slot: number, lengthMin: number, after: string): Step {
  const literal = Buffer.from(after);
  const first = literal[0]!;
  return (cursor) => {
    const { bytes, end, pos } = cursor;
    for (let at = pos; at < end; at++) {
      if (bytes[at] !== first || (literal.length > 1 && !standsAt(cursor, literal, at))) continue;
      cursor.from[slot] = pos;
      cursor.to[slot] = at;
      cursor.pos = at + literal.length;
      return at - pos >= lengthMin;
    }
    return false;
  };
}

/** One of the declared severities, followed by the literal after it, so that `WARN` is not found in `WARNING`. */
function severityStep(severities: readonly string[], after: string): Step {
  const words = severities.map((name) => Buffer.from(name + after));
  return (cursor) => {
    const first = cursor.bytes[cursor.pos];
    for (let index = 0; index < words.length; index++) {
      const word = words[index]!;
      if (word[0] !== first || !standsAt(cursor, word, cursor.pos)) continue;
      cursor.level = index;
      cursor.pos += word.length;
      return true;
    }
    return false;
  };
}

function quotedStep(slot: number): Step {
  return (cursor) => {
    const { bytes, end, pos } = cursor;
    if (pos >= end || bytes[pos] !== 34) return false;
    for (let at = pos + 1; at < end; at++) {
      const byte = bytes[at];
      if (byte === 92) at++;
      else if (byte === 34) {
        cursor.from[slot] = pos + 1;
        cursor.to[slot] = at;
        cursor.pos = at + 1;
        return true;
      }
    }
    return false;
  };
}

/** Longest number that is read: it stays exact as a double. */
const DIGITS_MAX = 15;

/** Digits, and the literal after them, so that `12x` is a wrong number and not a right one with something behind it. */
function numberStep(slot: number, piece: Extract<Piece, { number: string }>, after: string): Step {
  const literal = Buffer.from(after);
  const { dash = false, valueMin = 0, valueMax = Number.MAX_SAFE_INTEGER } = piece;
  return (cursor) => {
    const { bytes, end, pos } = cursor;
    if (dash && pos < end && bytes[pos] === 45) {
      cursor.from[slot] = -1;
      cursor.to[slot] = -1;
      cursor.pos = pos + 1 + literal.length;
      return standsAt(cursor, literal, pos + 1);
    }
    let at = pos;
    let value = 0;
    for (; at < end; at++) {
      const digit = bytes[at]! - 48;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    // A leading zero would not come back from the database as it was written.
    if (at === pos || at - pos > DIGITS_MAX || (bytes[pos] === 48 && at - pos > 1)) return false;
    cursor.from[slot] = pos;
    cursor.to[slot] = at;
    cursor.pos = at + literal.length;
    return value >= valueMin && value <= valueMax && standsAt(cursor, literal, at);
  };
}

function restStep(slot: number): Step {
  return (cursor) => {
    cursor.from[slot] = cursor.pos;
    cursor.to[slot] = cursor.end;
    cursor.pos = cursor.end;
    return true;
  };
}

/**
 * The rest of the line up to a field that closes it, `message (module)`. The writer of a log may break the line inside the message:
 * then the field closes a later line of the same record, and what follows that line is still the message.
 */
function closedRestStep(slot: number, lastSlot: number, last: { readonly open: string; readonly close: string }): Step {
  const open = Buffer.from(last.open);
  const close = Buffer.from(last.close);
  return (cursor) => {
    const { bytes, pos, recordEnd } = cursor;
    for (let lineFrom = pos, lineEnd = cursor.end; ;) {
      const bracketEnd = lineEnd - close.length;
      const at =
        bracketEnd > lineFrom && endsWith(bytes, lineEnd, close) ? openBefore(bytes, lineFrom, bracketEnd, open) : -1;
      // A trace may end a line in brackets, too: below the first line only the name of a class closes the record, or brackets alone.
      if (at >= 0 && (lineFrom === pos || at === lineFrom || bytes.subarray(at, bracketEnd).includes(46))) {
        cursor.from[slot] = pos;
        cursor.to[slot] = at;
        cursor.from[lastSlot] = at + open.length;
        cursor.to[lastSlot] = bracketEnd;
        cursor.moreFrom = Math.min(recordEnd, lineEnd + (bytes[lineEnd] === 13 ? 1 : 0));
        cursor.pos = cursor.end;
        return true;
      }
      const newline = lineEnd + (lineEnd < recordEnd && bytes[lineEnd] === 13 ? 1 : 0);
      if (newline >= recordEnd) return false;
      lineFrom = newline + 1;
      const next = bytes.indexOf(10, lineFrom);
      lineEnd = next < 0 || next > recordEnd ? recordEnd : next;
      if (lineEnd > lineFrom && lineEnd < recordEnd && bytes[lineEnd - 1] === 13) lineEnd--;
    }
  };
}

const endsWith = (bytes: Buffer, end: number, close: Buffer): boolean => {
  for (let index = 0; index < close.length; index++)
    if (bytes[end - close.length + index] !== close[index]) return false;
  return true;
};

/** Where `open` begins, with a word of at least one byte and without spaces or brackets between it and `end`; -1 if there is none. */
function openBefore(bytes: Buffer, from: number, end: number, open: Buffer): number {
  const last = open[open.length - 1]!;
  for (let at = end - 1; at >= from; at--) {
    const byte = bytes[at]!;
    if (byte === last) {
      const start = at - open.length + 1;
      return start >= from && at + 1 < end && endsWith(bytes, at + 1, open) ? start : -1;
    }
    if (byte === 32 || byte === 41 || byte === 10) return -1;
  }
  return -1;
}

/** The literal after a piece that needs one to know where it ends. */
function literalAfter(format: GrammarFormat, index: number): string {
  const next = format.line[index + 1];
  if (typeof next !== 'string' || next === '') throw wrong(format, `piece ${index + 1} needs a literal after it`);
  return next;
}

function stepOf(
  format: GrammarFormat,
  piece: Exclude<Piece, string>,
  after: string,
  slot: (name: string) => number,
): Step {
  if ('time' in piece) return timeReader(piece.time, format.zone ?? 'Z');
  if ('severity' in piece) return severityStep(format.severities, after);
  if ('text' in piece) return textStep(slot(piece.text), piece.lengthMin ?? 0, after);
  if ('quoted' in piece) return quotedStep(slot(piece.quoted));
  if ('number' in piece) return numberStep(slot(piece.number), piece, after);
  return piece.last ? closedRestStep(slot(piece.rest), slot(piece.last.text), piece.last) : restStep(slot(piece.rest));
}

/** Makes the tokeniser of a declared line. Throws RangeError for a declaration that cannot be read. */
export function grammarOf(format: GrammarFormat): Grammar {
  const slots = slotsOf(format);
  const slot = (name: string): number => slots.get(name)!;
  const steps: GrammarStep[] = [];
  for (let index = 0; index < format.line.length; index++) {
    const piece = format.line[index]!;
    if (typeof piece === 'string') {
      steps.push({ piece: undefined, after: piece, step: literalStep(piece) });
      continue;
    }
    // These end where their literal begins, so they take it along; the other pieces know their own end.
    const takes = 'severity' in piece || 'text' in piece || ('number' in piece && index + 1 < format.line.length);
    const after = takes ? literalAfter(format, index++) : '';
    steps.push({ piece, after, step: stepOf(format, piece, after, slot) });
  }
  const run = steps.map(({ step }) => step);
  const read: Step = (cursor) => {
    for (let index = 0; index < run.length; index++) if (!run[index]!(cursor)) return false;
    return cursor.pos === cursor.end;
  };
  return { steps, slots, read };
}
