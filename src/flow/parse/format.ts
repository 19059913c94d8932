// What lives here: the words in which a line format is declared. A declaration is plain data, so that it travels to the parser thread.
// Invariant: nothing in a declaration is code; what reads bytes is made from it in grammar.ts and text.ts.
// Apart because users write declarations of their own, and the engine that reads them may change under them.

/** How a timestamp is written: ISO 8601 (`T` or a space between, `.` or `,` before the fraction, zone optional) or Apache's `17/May/2015:10:05:03 +0000`. */
export type TimeLayout = 'iso' | 'clf';

/**
 * One piece of a line. Strings are literals. A text field ends where the literal after it begins, and never holds that literal.
 * Fields named `module` and `message` become columns; every other named field becomes an attribute.
 */
export type Piece =
  | string
  | { readonly time: TimeLayout }
  | { readonly severity: true }
  | { readonly text: string; readonly lengthMin?: number }
  /** Between double quotes; a backslash protects the byte after it. Kept as it is written, backslashes included. */
  | { readonly quoted: string }
  /** Digits only. `dash` lets `-` stand for "none"; `valueMin` and `valueMax` bound the value. */
  | { readonly number: string; readonly dash?: boolean; readonly valueMin?: number; readonly valueMax?: number }
  /** All that is left of the line, up to `last` if that is declared: a field in brackets that closes the line. */
  | { readonly rest: string; readonly last?: { readonly text: string; readonly open: string; readonly close: string } };

interface Common {
  readonly name: string;
  /** One sentence for help texts. */
  readonly says: string;
  /** Offset of timestamps without a zone: `Z` or `+02:00`. Default `Z`. */
  readonly zone?: string;
  /** The severities that a line may have, as written. */
  readonly severities: readonly string[];
  /**
   * How the first line of a record may begin, `0` standing for any digit and `a` for any letter. Declared, lines that begin otherwise may
   * continue the record before them; without it every line is a record.
   */
  readonly heads?: readonly string[];
  /** Which lines that begin no record continue one: any (default), or those of the trace of an error; others are then records of their own. */
  readonly continued?: 'any' | 'trace';
}

/** Read byte by byte; the quick kind. */
export interface GrammarFormat extends Common {
  readonly kind: 'grammar';
  /** What a severity is stored as, where that is not as it is written. */
  readonly stored?: Readonly<Record<string, string>>;
  readonly line: readonly Piece[];
  /** The module of every record, where lines do not carry one. */
  readonly module?: string;
  /** The field that is also the message. */
  readonly message?: string;
  /** Where lines carry no severity: the first digit of a number field decides, `'5': 'ERROR'`. */
  readonly severityOf?: { readonly field: string; readonly byFirstDigit: Readonly<Record<string, string>> };
  /** Other lines of the same kind of log, read as text where this line does not fit. */
  readonly variants?: 'access' | 'logging';
  /** A field that holds `-` in the usual line: where it holds more, the variants are asked first. */
  readonly dash?: string;
  /** A field cut at its spaces into exactly these attributes; left whole, as `message`, if it has another number of words. */
  readonly words?: { readonly field: string; readonly into: readonly string[] };
}

/** RFC 3164 (no year: the one that brings the record nearest to the data date) and RFC 5424, told apart line by line. */
export interface SyslogFormat extends Common {
  readonly kind: 'syslog';
  /** The severity of lines without a priority. */
  readonly severityDefault: string;
}

/** One JSON object a line; the first of each list that is there is taken, what is not taken becomes attributes. */
export interface JsonlFormat extends Common {
  readonly kind: 'jsonl';
  readonly fields: {
    readonly time: readonly string[];
    readonly severity: readonly string[];
    readonly module: readonly string[];
    readonly message: readonly string[];
  };
  readonly severityDefault: string;
  readonly moduleDefault: string;
}

/** An RE2 pattern with the named groups `time`, `severity`, `module`, `message`; other named groups become attributes. */
export interface PatternFormat extends Omit<Common, 'severities' | 'heads'> {
  readonly kind: 'pattern';
  readonly pattern: string;
  /** Forms of the timestamp in the letters of strftime; left out, the usual forms are known. */
  readonly times?: readonly string[];
  /** What a severity is stored as, by how it is written; the usual words are known besides. */
  readonly stored?: Readonly<Record<string, string>>;
  /** Where lines carry no severity: the first digit of a group decides. */
  readonly severityOf?: { readonly group: string; readonly byFirstDigit: Readonly<Record<string, string>> };
  readonly severityDefault?: string;
  readonly moduleDefault: string;
  /** Groups that are stored as numbers, and not at all where they are `-`. */
  readonly numbers?: readonly string[];
  /** Groups that make the message, joined by spaces, where none is called so. */
  readonly messageOf?: readonly string[];
  /** The message cut at its spaces into exactly these attributes; left whole if it has another number of words. */
  readonly words?: readonly string[];
}

export type Format = GrammarFormat | SyslogFormat | JsonlFormat | PatternFormat;

/** Where a reader stands in a line, and what it has found there. One object is used for all lines, so that nothing is allocated for a line. */
export interface Cursor {
  bytes: Buffer;
  view: DataView;
  pos: number;
  /** End of the line that is being read. */
  end: number;
  /** End of the record: that of its last continuation line. */
  recordEnd: number;
  /** Where the lines after the head begin, newline included; equals `recordEnd` without such lines. */
  moreFrom: number;
  /** Begin and end of each field by its slot; -1 is none. */
  readonly from: Int32Array;
  readonly to: Int32Array;
  /** Whole seconds since 2000-01-01 UTC and microseconds above them. */
  seconds: number;
  micros: number;
  /** Index into the severities. */
  level: number;
}

/** Slots of the fields that are columns; attributes follow. */
export const SLOT = { module: 0, message: 1, attributes: 2 } as const;

export const newCursor = (slots: number): Cursor => {
  const none = Buffer.alloc(0);
  return {
    bytes: none,
    view: new DataView(none.buffer, none.byteOffset, 0),
    pos: 0,
    end: 0,
    recordEnd: 0,
    moreFrom: 0,
    from: new Int32Array(slots).fill(-1),
    to: new Int32Array(slots).fill(-1),
    seconds: 0,
    micros: 0,
    level: 0,
  };
};
