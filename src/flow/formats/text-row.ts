// What lives here: what the text formats share: rows checked on their way, and timestamps read from strings.
// Invariant: a row that leaves here can be stored: severities are declared ones, no text holds NUL or half a character.
// Apart because syslog, JSON lines and declared patterns differ only in how they find their fields.
import { quote } from '../parse/diagnose.ts';
import { newCursor, SLOT } from '../parse/format.ts';
import { type Instant, momentIn, type MomentOptions } from '../parse/moment.ts';
import { timeReader } from '../parse/time.ts';
import type { Note, TextRow } from '../parse/tuple.ts';
import type { Violation } from '../types.ts';

/** Reads the text of one record: its first line, and the lines that continue it, newline first. */
export type TextReader = (text: string, more: string) => TextRow | readonly Violation[];

/** Reads a line that a grammar has refused, and the lines that continue it; undefined if it is none that is known here. */
export type VariantReader = (text: string, more: string) => TextRow | readonly Violation[] | undefined;

/** Makes a reader of timestamps in strings; it gives a violation for what is none. The usual layout is read byte by byte, all others as a whole. */
export function instantReader(options: MomentOptions, zone: string): (text: string) => Instant | Violation {
  const read = timeReader('iso', zone);
  const cursor = newCursor(SLOT.attributes);
  return (text) => {
    const bytes = Buffer.from(text);
    Object.assign(cursor, { bytes, pos: 0, end: bytes.length });
    if (read(cursor) && cursor.pos === cursor.end) return { seconds: cursor.seconds, micros: cursor.micros };
    return momentIn(text, options);
  };
}

const unstorable = /\0|\p{Surrogate}/u;

/** The parts of a row that were found, undefined where they were not. */
export interface Parts {
  readonly time: Instant | Violation;
  readonly severity: string;
  readonly module: string;
  readonly message: string | undefined;
  readonly attributes: string | undefined;
}

/** The row, or all that is wrong with it. `severities`: those that there are; left out, any goes. */
export function rowOrViolations(
  parts: Parts,
  severities: readonly string[] | undefined,
  notes: readonly Note[] = [],
  moduleMayBeEmpty = false,
): TextRow | readonly Violation[] {
  const { time, severity, module, message, attributes } = parts;
  const violations: Violation[] = [];
  const add = (field: string, code: string, what: string): number => violations.push({ field, code, message: what });
  if ('code' in time) violations.push(time);
  if (severity === '') add('severity', 'severity_missing', 'There is no severity.');
  else if (severities?.includes(severity) === false)
    add('severity', 'severity_unknown', `${quote(severity)} is none of ${severities.join(', ')}.`);
  if (module === '' && !moduleMayBeEmpty) add('module', 'module_empty', 'The module is empty.');
  if (message === undefined) add('message', 'message_missing', 'There is no message.');
  for (const [field, text] of Object.entries({
    severity,
    module,
    message: message ?? '',
    attributes: attributes ?? '',
  }))
    if (unstorable.test(text))
      add(
        field,
        'text_unstorable',
        `The ${field} holds NUL or half of a character, which a text of Postgres cannot hold.`,
      );
  if (violations.length > 0) return violations;
  return {
    ...(time as Instant),
    severity,
    module,
    message: message!,
    attributes,
    ...(notes.length === 0 ? {} : { notes }),
  };
}
