// What lives here: reading a sealed dataset: as the source of a flow, or record by record.
// Invariant: what is read is what was sealed, by the hash of each part; anything else is `dataset_gone`, never fewer records.
// Apart from writing, because it needs no lease.
import { readJson } from '../model/exact-json.ts';
import { CodedError } from '../model/failure.ts';
import type { Db } from '../store/db.ts';
import {
  type DatasetRow,
  findDataset,
  type Origin,
  otherVersions,
  type PartPlace,
  partsOf,
  readPart,
} from '../store/datasets.ts';
import { unpackPart } from './dataset-lines.ts';
import { type DatasetRef, gone } from './dataset-ref.ts';
import type { RecordSource, SourceRecord } from './record-reader.ts';
import type { Range } from './types.ts';

const NEWLINE = 10;

/** What a reader asks of a dataset. */
export interface Expected {
  /** Schema its code can read; another one has the stage that made the dataset done again. */
  readonly schema: string;
}

/** What is known of a dataset beside its records. */
export interface DatasetAbout {
  readonly ref: DatasetRef;
  /** As of when the oldest of its inputs was fetched. */
  readonly asOf: Date;
  readonly origin: Origin;
}

/** How old a dataset is and where it came from. Fails with `dataset_gone`. */
export async function aboutDataset(db: Db, ref: DatasetRef): Promise<DatasetAbout> {
  const { asOf, origin } = await sealed(db, ref, { schema: ref.schema });
  return { ref, asOf, origin };
}

/** The dataset as a source of `flow`: one line, one record, whose value is its text (see `parse(json)`). Fails with `dataset_gone`. */
export const datasetSource = (ref: DatasetRef, expected: Expected): RecordSource => ({
  async openRecords(_ctx, sink) {
    const row = await sealed(sink.pool, ref, expected);
    const parts = await partsOf(sink.pool, ref.dataset);
    const lines = linesOf(sink.pool, ref, parts);
    return {
      sourceId: row.sourceId!,
      slice: { from: 0, to: row.bytes, sealed: true },
      asOf: row.asOf,
      earlier: await otherVersions(sink.pool, row.sourceId!),
      ...(row.derived ? { derived: true } : { recordsAll: row.records }),
      records: (range, signal) => recordsIn(parts, lines, range, signal),
      raw: (offset, length) => rawOf(parts, lines, offset, length),
      close: () => Promise.resolve(),
    };
  },
});

/** The records of a dataset in their order. Fails with `dataset_gone`. */
export async function* readDataset<T>(db: Db, ref: DatasetRef, expected: Expected): AsyncGenerator<T, void, undefined> {
  await sealed(db, ref, expected);
  const parts = await partsOf(db, ref.dataset);
  const lines = linesOf(db, ref, parts);
  for (const part of parts) {
    const text = (await lines(part)).toString('utf8');
    for (const line of text.split('\n')) if (line !== '') yield readJson(line) as T;
  }
}

async function sealed(db: Db, ref: DatasetRef, expected: Expected): Promise<DatasetRow> {
  const row = await findDataset(db, ref.dataset);
  if (!row) throw gone(ref, 'is not in the store');
  if (row.state === 'gone') throw gone(ref, `was removed at ${row.goneAt?.toISOString() ?? 'an unknown time'}`);
  if (row.state === 'building') throw gone(ref, 'is not complete');
  if (row.sha256 !== ref.sha256) throw gone(ref, 'holds other records than its reference says');
  if (row.schema !== expected.schema)
    throw gone(ref, `holds records of the schema ${row.schema}, and this release reads ${expected.schema}`);
  return row;
}

type Lines = (part: PartPlace) => Promise<Buffer>;

/** Unpacked lines of a part; the last one is kept, because a letter about a row needs it again. */
function linesOf(db: Db, ref: DatasetRef, parts: readonly PartPlace[]): Lines {
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  let kept: { part: PartPlace; lines: Buffer } | undefined;
  return async (part) => {
    if (bytes !== ref.bytes) throw gone(ref, `has ${bytes} of ${ref.bytes} bytes`);
    if (kept?.part === part) return kept.lines;
    const stored = await readPart(db, ref.dataset, part);
    if (!stored) throw gone(ref, `lacks its part ${part.at}.${part.piece}`);
    const lines = await unpackPart(stored, part.bytes);
    if (!lines) throw gone(ref, `has a damaged part ${part.at}.${part.piece}`);
    kept = { part, lines };
    return lines;
  };
}

async function* recordsIn(
  parts: readonly PartPlace[],
  lines: Lines,
  range: Range,
  signal: AbortSignal,
): AsyncGenerator<SourceRecord, void, undefined> {
  let next = range.from;
  for (const part of parts) {
    if (part.firstByte + part.bytes <= range.from || part.firstByte >= range.to) continue;
    if (signal.aborted) return;
    const bytes = await lines(part);
    let line = part.firstRecord;
    for (let at = 0; at < bytes.byteLength;) {
      const end = bytes.indexOf(NEWLINE, at) + 1;
      const offset = part.firstByte + at;
      line++;
      if (offset >= range.to) return;
      if (offset >= range.from) {
        yield {
          offset,
          length: end - at,
          line,
          value: bytes.toString('utf8', at, end - 1),
          raw: bytes.subarray(at, end),
        };
        next = offset + end - at;
      }
      at = end;
    }
  }
  if (next < range.to && !signal.aborted)
    throw new CodedError('source_shrunk', `The dataset ends at byte ${next} of ${range.to}.`);
}

async function rawOf(parts: readonly PartPlace[], lines: Lines, offset: number, length: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (const part of parts) {
    const from = Math.max(offset, part.firstByte) - part.firstByte;
    const to = Math.min(offset + length, part.firstByte + part.bytes) - part.firstByte;
    if (from < to) pieces.push((await lines(part)).subarray(from, to));
  }
  return Buffer.concat(pieces);
}
