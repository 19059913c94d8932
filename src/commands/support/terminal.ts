// What lives here: how the command line writes: text, tables, JSON, colours.
// Invariant: whatever comes from a record, a file name or a person reaches a terminal with its control characters escaped;
// colours only on a terminal and not with NO_COLOR; a closed pipe ends the output in silence.
// Apart because no command may write in any other way.
import { stripVTControlCharacters, styleText } from 'node:util';
import Table from 'cli-table3';
import { asCalled, asCalledIn } from '../../model/shell.ts';

/** Where a command writes: the process's own streams, or those of a test. */
export interface Stream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  hasColors?(): boolean;
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

export interface Terminal {
  /** True where lines may be rewritten in place. */
  readonly live: boolean;
  readonly columns: number;
  line(text?: string): void;
  /** Beside the output: progress and notes, which a pipe must not get. */
  note(text: string): void;
  json(value: unknown): void;
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
  style(style: Style, text: string): string;
  /** Rewrites what it drew last; only where `live`. */
  redraw(lines: readonly string[]): void;
}

/** Escapes what moves a cursor or hides text; line feeds too, because here a value is one line. */
export const escaped = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are what this is about
  text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (found) => {
    const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[found];
    if (short !== undefined) return short;
    const code = found.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });

/** Bytes of a record for a terminal: printable UTF-8 as it is, all else as \xNN. */
export function escapedBytes(bytes: Uint8Array): string {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    return escaped(decoder.decode(bytes));
  } catch {
    // Not UTF-8 as a whole: then every byte beyond ASCII is shown as what it is.
    return [...bytes]
      .map((byte) => (byte >= 0x80 ? `\\x${byte.toString(16)}` : escaped(String.fromCharCode(byte))))
      .join('');
  }
}

/** `called`: how the reader calls this program, `mendflow` or `npx mendflow`. */
export function openTerminal(out: Stream, err: Stream, called = 'mendflow'): Terminal {
  const colours = out.isTTY === true && out.hasColors?.() === true;
  let drawn = 0;
  const line = (text = ''): void => void out.write(`${asCalled(called, text)}\n`);
  return {
    live: out.isTTY === true,
    columns: out.columns || 120,
    line,
    note: (text) => void err.write(`${asCalled(called, text)}\n`),
    json: (value) => void out.write(`${asciiControls(JSON.stringify(asCalledIn(called, value), null, 2))}\n`),
    table: (head, rows) => {
      const titles = head.map((word) => (colours ? coloured('dim', word) : word));
      const colWidths = head.map((_word, column) => widest([titles, ...rows], column) + GAP);
      // The library takes quadratic time, so a long list is drawn in parts of the same widths.
      for (let from = 0; from === 0 || from < rows.length; from += ROWS_AT_ONCE) {
        const table = new Table({
          ...(from === 0 ? { head: titles } : {}),
          colWidths,
          chars: noBorders,
          style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': GAP },
        });
        for (const row of rows.slice(from, from + ROWS_AT_ONCE)) table.push([...row]);
        for (const row of table.toString().split('\n')) line(row.trimEnd());
      }
    },
    style: (style, text) => (colours ? coloured(style, text) : text),
    redraw: (lines) => {
      const width = out.columns || 120;
      const up = drawn > 0 ? `\u001b[${drawn}A` : '';
      out.write(`${up}${lines.map((one) => `\u001b[2K${cut(one, width)}\n`).join('')}\u001b[J`);
      drawn = lines.length;
    },
  };
}

/** JSON leaves C1 and direction marks as they are; a terminal would obey them. Inside of JSON they only stand in texts. */
const asciiControls = (json: string): string =>
  json.replaceAll(
    /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** Whether a stream has colours was decided above; Node would look at stdout, whatever is written to. */
const coloured = (style: Style, text: string): string => styleText(style, text, { validateStream: false });

const GAP = 2;
const ROWS_AT_ONCE = 200;

/** Letters of the far east take two columns; to count too many costs a blank, too few would cut a value. */
const widest = (rows: readonly (readonly string[])[], column: number): number =>
  rows.reduce((most, row) => Math.max(most, columnsOf(stripVTControlCharacters(row[column] ?? ''))), 0);

function columnsOf(text: string): number {
  let columns = 0;
  for (const letter of text) columns += letter.codePointAt(0)! >= 0x1100 ? 2 : 1;
  return columns;
}

/** A line that wraps would be counted as one and drawn as two. Lines of progress hold no colours. */
const cut = (text: string, width: number): string => (text.length > width - 1 ? `${text.slice(0, width - 2)}…` : text);

const noBorders = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
    'middle',
  ].map((name) => [name, '']),
);

/** `12,345`: counts of records as people read them. As `inDigits` of the model, whose file not every command has to load. */
export const counted = (value: number): string => value.toLocaleString('en-US');

/** `2026-11-21 06:12:33Z`. Always UTC: an operator and a log must mean the same moment. */
export const moment = (at: Date): string => `${at.toISOString().slice(0, 19).replace('T', ' ')}Z`;
