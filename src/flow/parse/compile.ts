// What lives here: a declared format made ready to read: where records begin, whether one is good, its row or its violations.
// Invariant: `read` decides alone whether a record is loaded; `explain` finds at least one violation for what `read` refused.
// Apart because the cutter treats byte formats and text formats alike.
import { accessVariants } from '../formats/access.ts';
import { loggingVariants } from '../formats/logging.ts';
import type { VariantReader } from '../formats/text-row.ts';
import type { Violation } from '../types.ts';
import { diagnose } from './diagnose.ts';
import { type Cursor, type Format, type GrammarFormat, newCursor, SLOT } from './format.ts';
import { grammarOf } from './grammar.ts';
import { type Head, headIn } from './head.ts';
import { attributeWriter, JSONB_EXPANSION_MAX } from './jsonb.ts';
import { compileText, textNeed } from './text.ts';
import {
  type Note,
  type RowConstants,
  type TextRow,
  TUPLE_OVERHEAD_BYTES,
  type TupleWriter,
  tupleWriter,
} from './tuple.ts';

export interface Compiled {
  readonly head: Head | undefined;
  readonly cursor: Cursor;
  readonly writer: TupleWriter;
  /** True if the record at the cursor is good; its fields are then in the cursor. */
  read(cursor: Cursor): boolean;
  /** Most bytes that the tuple of the record just read takes. */
  need(length: number): number;
  /** Writes the record just read. */
  write(offset: number, line: number): void;
  /** What is worth telling of the record just written; absent where nothing ever is. */
  notes?(): readonly Note[] | undefined;
  /** All violations of a record that was refused. The cursor stands where the record begins. */
  explain(cursor: Cursor): Violation[];
}

/** Makes a declared format ready. Throws RangeError if the declaration is wrong. */
export const compile = (format: Format, constants: RowConstants): Compiled =>
  format.kind === 'grammar' ? compileGrammar(format, constants) : compileText(format, constants);

/** After the line was read: the severity from a number's first digit. */
function levelReader(
  format: GrammarFormat,
  slots: ReadonlyMap<string, number>,
): ((cursor: Cursor) => boolean) | undefined {
  if (format.severityOf === undefined) return undefined;
  const { field, byFirstDigit } = format.severityOf;
  const slot = slots.get(field);
  if (slot === undefined)
    throw new RangeError(`Format "${format.name}" takes the severity from "${field}", which its line does not have.`);
  const levels = Array.from({ length: 256 }, (_, byte) =>
    format.severities.indexOf(byFirstDigit[String.fromCharCode(byte)] ?? ''),
  );
  return (cursor) => {
    cursor.level = levels[cursor.bytes[cursor.from[slot]!]!]!;
    return cursor.level >= 0;
  };
}

/** After the line was read: a field cut into words, if it has exactly as many as declared. */
function wordReader(format: GrammarFormat, slots: ReadonlyMap<string, number>): ((cursor: Cursor) => void) | undefined {
  if (format.words === undefined) return undefined;
  const source = slots.get(format.words.field)!;
  const into = format.words.into.map((name) => slots.get(name)!);
  return ({ bytes, from, to }) => {
    const end = to[source]!;
    let at = from[source]!;
    let index = 0;
    from[into[0]!] = at;
    for (; at < end; at++) {
      if (bytes[at] !== 32) continue;
      to[into[index]!] = at;
      if (++index === into.length) break;
      from[into[index]!] = at + 1;
    }
    to[into[index] ?? into[0]!] = at;
    const cut = index === into.length - 1 && at === end && into.every((slot) => from[slot]! < to[slot]!);
    if (!cut) for (const slot of into) from[slot] = -1;
  };
}

/** Fields that are no columns, with their slots. Numbers stand bare in jsonb; what was cut into words or became the message is left out. */
function attributesOf(
  format: GrammarFormat,
  slots: ReadonlyMap<string, number>,
): ReturnType<typeof attributeWriter> | undefined {
  const numbers = new Set(
    format.line.flatMap((piece) => (typeof piece === 'object' && 'number' in piece ? [piece.number] : [])),
  );
  const named = [...slots].filter(([name]) => name !== 'module' && name !== 'message' && name !== format.message);
  if (named.length === 0) return undefined;
  return attributeWriter(named.map(([name, slot]) => ({ name, slot, number: numbers.has(name) })));
}

/** True if the field that is usually `-` holds more: then the line may be another than it seems. */
function dashReader(
  format: GrammarFormat,
  slots: ReadonlyMap<string, number>,
): ((cursor: Cursor) => boolean) | undefined {
  if (format.dash === undefined) return undefined;
  const slot = slots.get(format.dash)!;
  return ({ bytes, from, to }) => bytes[from[slot]!] !== 45 || to[slot]! - from[slot]! !== 1;
}

/** Longest line that is looked at as text: web servers allow a few KiB a header, and a stranger's line must not cost more than its length. */
const VARIANT_BYTES_MAX = 32 * 1024;

/** A grammar with what else such a log may hold: what the grammar refuses, and what it is not sure of, is read as text. */
function withVariants(
  grammar: Compiled,
  variants: VariantReader,
  unsure: ((cursor: Cursor) => boolean) | undefined,
): Compiled {
  let row: TextRow | undefined;
  const asText = ({ bytes, pos, end, moreFrom, recordEnd }: Cursor): ReturnType<VariantReader> =>
    end - pos > VARIANT_BYTES_MAX
      ? undefined
      : variants(bytes.toString('utf8', pos, end), bytes.toString('utf8', moreFrom, recordEnd));
  return {
    ...grammar,
    read(at) {
      const { pos } = at;
      const good = grammar.read(at);
      if (good && unsure?.(at) !== true) {
        row = undefined;
        return true;
      }
      const after = at.pos;
      at.pos = pos;
      const found = asText(at);
      row = found !== undefined && 'seconds' in found ? found : undefined;
      at.pos = after;
      return row !== undefined || good;
    },
    need: (length) => (row === undefined ? grammar.need(length) : textNeed(row)),
    write(offset, line) {
      if (row === undefined) grammar.write(offset, line);
      else grammar.writer.fromText(row, offset, line);
    },
    explain(at) {
      const found = asText(at);
      return found === undefined || 'seconds' in found ? grammar.explain(at) : [...found];
    },
  };
}

const variantsOf = { access: accessVariants, logging: loggingVariants } as const;

function compileGrammar(format: GrammarFormat, constants: RowConstants): Compiled {
  const grammar = grammarOf(format);
  const cursor = newCursor(grammar.slots.size);
  const attributes = attributesOf(format, grammar.slots);
  const level = levelReader(format, grammar.slots);
  const words = wordReader(format, grammar.slots);
  const message = format.message === undefined ? undefined : grammar.slots.get(format.message)!;
  const expansion = attributes === undefined ? 1 : 1 + JSONB_EXPANSION_MAX;
  const fixed =
    TUPLE_OVERHEAD_BYTES +
    64 +
    Buffer.byteLength(format.module ?? '') +
    [...grammar.slots.keys()].reduce((sum, name) => sum + Buffer.byteLength(JSON.stringify(name)) + 6, 0) +
    Math.max(0, ...format.severities.map((name) => Buffer.byteLength(name)));
  const writer = tupleWriter(constants, {
    severities: format.severities.map((word) => format.stored?.[word] ?? word),
    ...(format.module === undefined ? {} : { module: format.module }),
    ...(attributes === undefined ? {} : { attributes }),
  });
  const compiled: Compiled = {
    head: headIn(format),
    cursor,
    writer,
    read(at) {
      if (!grammar.read(at)) return false;
      if (message !== undefined) {
        at.from[SLOT.message] = at.from[message]!;
        at.to[SLOT.message] = at.to[message]!;
      }
      if (words !== undefined) words(at);
      return level === undefined || level(at);
    },
    need: (length) => fixed + expansion * length,
    write: (offset, line) => writer.fromCursor(cursor, offset, line),
    explain: (at) => diagnose(format, grammar, at),
  };
  if (format.variants === undefined) return compiled;
  return withVariants(
    compiled,
    variantsOf[format.variants](format, constants.dataDay),
    dashReader(format, grammar.slots),
  );
}
