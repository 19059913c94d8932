// What lives here: the file that the chaos tests load, the table it goes into, and what has to come out.
// Invariant: the oracle is computed from the generator alone, with no code of the data plane.
// Apart because the loader in the child process and the checker in the test need the same truth.
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { OpenedRecords, SourceRecord } from '../../src/flow/record-reader.ts';

export const RECORDS = 24_000;
export const RECORDS_PER_CHUNK = 1_000;

/** `plain` has no key and no checks: what the deliberately broken loaders load into, so that a doubled row shows. */
export const tables = `
  create table rows_checked (source_id bigint, "offset" bigint, line_no bigint, id bigint, note text constraint good_note check (note <> 'bad'), data_date date, generation int,
    primary key (source_id, "offset"));
  create table rows_plain (source_id bigint, "offset" bigint, id bigint, note text);
  create table progress (source_id bigint primary key, upto bigint not null);
  create table chunk_number (source_id bigint, no int, primary key (source_id, no));`;

type Kind = 'good' | 'unparsable' | 'refused' | 'blank';

const kindOf = (index: number): Kind =>
  index % 101 === 7 ? 'unparsable' : index % 397 === 5 ? 'refused' : index % 211 === 9 ? 'blank' : 'good';

const lineOf = (index: number): string => {
  const kind = kindOf(index);
  if (kind === 'blank') return '';
  if (kind === 'unparsable') return `{"id":${index},"note":`;
  return JSON.stringify({ id: index, note: kind === 'refused' ? 'bad' : `note ${'é'.repeat(index % 23)} ${index}` });
};

export interface Expected {
  readonly text: string;
  /** offset → id and note. */
  readonly rows: ReadonlyMap<number, { id: number; note: string; line: number }>;
  /** Offsets of the records that have to be letters. */
  readonly letters: ReadonlySet<number>;
  readonly blanks: number;
}

export function expected(records = RECORDS): Expected {
  const rows = new Map<number, { id: number; note: string; line: number }>();
  const letters = new Set<number>();
  let blanks = 0;
  let text = '';
  let offset = 0;
  for (let index = 0; index < records; index++) {
    const line = lineOf(index);
    const kind = kindOf(index);
    if (kind === 'good') rows.set(offset, { ...(JSON.parse(line) as { id: number; note: string }), line: index + 1 });
    else if (kind === 'blank') blanks++;
    else letters.add(offset);
    text += `${line}\n`;
    offset += Buffer.byteLength(line) + 1;
  }
  return { text, rows, letters, blanks };
}

/** The lines of a file as records, read from one descriptor; line numbers are counted from the beginning of the file. */
export async function linesOf(path: string, sourceId: string): Promise<OpenedRecords> {
  const bytes = readFileSync(path);
  const file = await open(path);
  return {
    sourceId,
    slice: { from: 0, to: bytes.byteLength, sealed: true },
    async *records({ from, to }) {
      let line = 1;
      for (let at = bytes.indexOf(10); at >= 0 && at < from; at = bytes.indexOf(10, at + 1)) line++;
      for (let at = from; at < to; line++) {
        const end = bytes.indexOf(10, at) + 1;
        yield recordAt(bytes, at, end, line);
        at = end;
      }
    },
    async raw(offset, length) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    },
    close: () => file.close(),
  };
}

const recordAt = (bytes: Buffer, at: number, end: number, line: number): SourceRecord => ({
  offset: at,
  length: end - at,
  line,
  value: bytes.toString('utf8', at, end - 1),
  raw: bytes.subarray(at, end),
  ...(end === at + 1 ? { skip: true } : {}),
});
