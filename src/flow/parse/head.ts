// What lives here: how the first line of a record is told from a line that continues one.
// Invariant: a line is judged by its first bytes alone, so that a line of any length costs the same.
// Apart because the cutter asks it of every line, and planning asks it of a file's last ones.
import { patternTest } from '../formats/pattern.ts';
import type { Format, PatternFormat } from './format.ts';
import { continuesTrace } from './trace.ts';

export interface Head {
  /** Bytes of a line that have to be there to judge it, unless it ends before. */
  readonly length: number;
  isHead(bytes: Buffer, at: number, end: number): boolean;
  /** Whether a line that is no head continues the record before it; absent where every such line does. */
  continues?(bytes: Buffer, at: number, end: number, traced: boolean): boolean;
}

/** Most bytes of a line that any head asks for. */
export const HEAD_BYTES_MAX = 32 * 1024;
/** Bytes of a line that tell whether it belongs to a trace. */
const TRACE_BYTES = 512;

const matches = (pattern: Buffer, line: Buffer, at: number): boolean => {
  for (let index = 0; index < pattern.length; index++) {
    const wanted = pattern[index]!;
    const found = line[at + index]!;
    if (wanted === 48 ? found < 48 || found > 57 : wanted === 97 ? found < 65 || found > 122 : found !== wanted)
      return false;
  }
  return true;
};

/** `[0000-00-00 ` as a test: 0 stands for any digit, `a` for any letter, everything else for itself. */
function headOf(patterns: readonly string[], traces: boolean): Head {
  const all = patterns.map((pattern) => Buffer.from(pattern));
  const starts = (pattern: Buffer, byte: number): boolean =>
    pattern[0] === 48 ? byte >= 48 && byte <= 57 : pattern[0] === 97 ? byte >= 65 && byte <= 122 : pattern[0] === byte;
  const byFirst = Array.from({ length: 256 }, (_, byte) => all.filter((pattern) => starts(pattern, byte)));
  const isHead = (line: Buffer, at: number, end: number): boolean => {
    if (at >= end) return false;
    const some = byFirst[line[at]!]!;
    for (let index = 0; index < some.length; index++)
      if (end - at >= some[index]!.length && matches(some[index]!, line, at)) return true;
    return false;
  };
  const length = Math.max(...all.map((pattern) => pattern.length));
  if (!traces) return { length, isHead };
  return { length: TRACE_BYTES, isHead, continues };
}

function continues(bytes: Buffer, at: number, end: number, traced: boolean): boolean {
  const limit = Math.min(end, at + TRACE_BYTES);
  const newline = bytes.indexOf(10, at);
  return continuesTrace(bytes.toString('latin1', at, newline < 0 || newline > limit ? limit : newline), traced);
}

/** A line is a head if it matches the pattern; one that is too long to be asked is one too: it must not vanish in the record before it. */
function headByPattern(format: PatternFormat): Head {
  const test = patternTest(format);
  const isHead = (line: Buffer, at: number, end: number): boolean => {
    const newline = line.indexOf(10, at);
    const to = newline < 0 || newline > end ? end : newline;
    if (to - at >= HEAD_BYTES_MAX) return true;
    return test(line.toString('utf8', at, to > at && line[to - 1] === 13 ? to - 1 : to));
  };
  return { length: HEAD_BYTES_MAX, isHead, ...(format.continued === 'trace' ? { continues } : {}) };
}

/** The head of a format, if its records may have several lines. */
export function headIn(format: Format): Head | undefined {
  if (format.kind === 'pattern') return format.continued === undefined ? undefined : headByPattern(format);
  return format.heads === undefined ? undefined : headOf(format.heads, format.continued === 'trace');
}
