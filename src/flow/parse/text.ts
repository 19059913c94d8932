// What lives here: the formats that are read as text made ready, as compile.ts does for those read as bytes.
// Invariant: as for bytes: a record is good or has at least one violation, and nothing throws for data.
// Apart because strings cost several times the time of bytes, which only formats without a fixed grammar should pay.
import { jsonlReader } from '../formats/jsonl.ts';
import { patternReader } from '../formats/pattern.ts';
import { syslogReader } from '../formats/syslog.ts';
import type { TextReader } from '../formats/text-row.ts';
import type { Violation } from '../types.ts';
import type { Compiled } from './compile.ts';
import { type Cursor, type Format, type GrammarFormat, newCursor, SLOT } from './format.ts';
import { headIn } from './head.ts';
import { type RowConstants, type TextRow, TUPLE_OVERHEAD_BYTES, tupleWriter } from './tuple.ts';

/** A character of a JavaScript string takes at most three bytes; two of a surrogate pair take four. */
const CHARACTER_BYTES_MAX = 3;

/** Most bytes that the tuple of a row takes. */
export const textNeed = ({ severity, module, message, attributes = '' }: TextRow): number =>
  TUPLE_OVERHEAD_BYTES + CHARACTER_BYTES_MAX * (severity.length + module.length + message.length + attributes.length);

type TextFormat = Exclude<Format, GrammarFormat>;

function readerOf(format: TextFormat, { dataDay }: RowConstants): TextReader {
  if (format.kind === 'syslog') return syslogReader(format, dataDay);
  return format.kind === 'jsonl' ? jsonlReader(format, dataDay) : patternReader(format, dataDay);
}

/** Makes a format that is read as text ready. Throws RangeError if the declaration is wrong. */
export function compileText(format: TextFormat, constants: RowConstants): Compiled {
  const reader = readerOf(format, constants);
  const cursor = newCursor(SLOT.attributes);
  const writer = tupleWriter(constants, { severities: [] });
  const read = ({ bytes, pos, end, moreFrom, recordEnd }: Cursor): TextRow | readonly Violation[] =>
    reader(bytes.toString('utf8', pos, end), bytes.toString('utf8', moreFrom, recordEnd));
  let row: TextRow | undefined;
  return {
    head: headIn(format),
    cursor,
    writer,
    read(at) {
      const found = read(at);
      row = 'seconds' in found ? found : undefined;
      return row !== undefined;
    },
    need: () => textNeed(row!),
    write: (offset, line) => writer.fromText(row!, offset, line),
    notes: () => row!.notes,
    explain(at) {
      const found = read(at);
      return 'seconds' in found ? [] : [...found];
    },
  };
}
