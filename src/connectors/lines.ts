// What lives here: a text file as a source of records for `flow`: one line, one record. NDJSON, exports, lists.
// Invariant: the lines of a range cover its bytes; whatever the bytes are, a line is a record, a blank to skip or a reject with a reason.
// Apart from the log reader, which is several times faster and knows log formats: here any `parse` step says what a line means.
import { createHash, type Hash } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { resolve } from 'node:path';
import type { Bytes } from '../flow/parse/bytes.ts';
import type { Format } from '../flow/parse/format.ts';
import type { OpenedRecords, RecordSource, SourceRecord } from '../flow/record-reader.ts';
import { RAW_BYTES_MAX, type Range } from '../flow/types.ts';
import { CodedError } from '../model/failure.ts';
import { filesToRead, type FileToRead } from './file-source.ts';
import { type FileRef, listFiles } from './files.ts';

/** Lines longer than this are rejected, in bytes; the rest of such a line is passed over, hashed and never held. */
export const LINE_BYTES_MAX = 1024 * 1024;
const BLOCK_BYTES = 1 << 20;
const NEWLINE = 10;

/** Every line by itself: no line continues another, so a file is finished behind its last newline. */
const anyLine: Format = {
  kind: 'grammar',
  name: 'lines',
  says: 'Any text.',
  severities: [],
  line: [{ rest: 'message' }],
};

/**
 * The lines of a file of the worker's machine, `.gz` included, exactly once per pipeline: what was appended since the last run is the next
 * run's slice, and other bytes under the same name make the run ask. Blank lines are skipped; a line that is not UTF-8, holds a NUL or is
 * longer than 1 MiB becomes a dead letter. Fails with `file_missing`, `file_not_regular` (a folder), `file_forbidden`, `source_rewritten`.
 */
export const lines = (path: string): RecordSource => ({
  async openRecords(ctx, sink, target) {
    const ref = await oneFile(path);
    let found: FileToRead | undefined;
    for await (const next of filesToRead(sink.pool, ctx, ref, { target, format: anyLine })) {
      await found?.close();
      found = next;
      // What was begun is finished first; what follows is the next run's.
      if (next.file && next.slice.from < next.slice.to) break;
    }
    const read = found!;
    if (read.more) throw await elsewhere(ref, read);
    return { ...read, ...(read.bytes ? readerOf(read.bytes) : nothingToRead) };
  },
});

/** One source, one file: the rest of a log that was rotated is another file's. */
async function elsewhere(ref: FileRef, rest: FileToRead): Promise<CodedError> {
  await rest.close();
  const { slice } = rest;
  const { name } = rest.file!.ref;
  return new CodedError(
    'source_shrunk',
    `${ref.name} was rotated: what was loaded of it is in ${name} now, whose bytes ${slice.from} to ${slice.to} no run has loaded. Nothing was read. Start a run for ${name}, then retry.`,
  );
}

/** All of it is committed already. */
const nothingToRead: Pick<OpenedRecords, 'records' | 'raw'> = {
  async *records() {},
  raw: () => Promise.resolve(new Uint8Array(0)),
};

async function oneFile(path: string): Promise<FileRef> {
  const [first, second] = await listFiles(path);
  // A folder lists its files by their own names, so their paths are longer than the one that was given.
  if (first && second === undefined && Buffer.from(first.path, 'base64').equals(Buffer.from(resolve(path))))
    return first;
  throw new CodedError(
    'file_not_regular',
    `${path} is a folder, and lines() reads one file. Nothing was read. Start a run for each of its files.`,
  );
}

function readerOf(bytes: Bytes): Pick<OpenedRecords, 'records' | 'raw'> {
  return {
    async *records(range, signal) {
      let offset = range.from;
      let line = await lineAt(bytes, range.from, signal);
      for await (const { head, length, sha256 } of cut(bytes, range, signal)) {
        yield recordOf(head, { offset, length, line: line++ }, sha256);
        offset += length;
      }
    },
    async raw(offset, length) {
      const into = Buffer.allocUnsafe(length);
      return into.subarray(0, await fill(bytes, into, offset));
    },
  };
}

/** Physical number of the line that begins at `offset`, from 1: the newlines before it are counted, because no position tells them. */
async function lineAt(bytes: Bytes, offset: number, signal: AbortSignal): Promise<number> {
  let line = 1;
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  for (let at = 0; at < offset && !signal.aborted;) {
    const count = await bytes.read(block.subarray(0, Math.min(BLOCK_BYTES, offset - at)), at);
    if (count === 0) break;
    for (let found = block.indexOf(NEWLINE); found >= 0 && found < count; found = block.indexOf(NEWLINE, found + 1))
      line++;
    at += count;
  }
  return line;
}

/** A line as bytes: whole, or its beginning, its length and the hash of all of it where it is too long. Terminator included. */
interface Cut {
  readonly head: Buffer;
  readonly length: number;
  readonly sha256: Buffer | undefined;
}

async function* cut(bytes: Bytes, range: Range, signal: AbortSignal): AsyncGenerator<Cut> {
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  let parts: Buffer[] = [];
  let length = 0;
  let hash: Hash | undefined;
  const end = (): Cut => {
    const head = Buffer.concat(parts);
    const done = { head, length, sha256: hash?.digest() };
    [parts, length, hash] = [[], 0, undefined];
    return done;
  };
  const take = (part: Buffer): void => {
    length += part.length;
    if (length <= LINE_BYTES_MAX) return void parts.push(Buffer.from(part));
    if (!hash) {
      const held = Buffer.concat(parts);
      hash = createHash('sha256').update(held);
      parts = [Buffer.concat([held, part]).subarray(0, RAW_BYTES_MAX)];
    }
    // The letter's hash is over the record without its newline.
    hash.update(part.at(-1) === NEWLINE ? part.subarray(0, -1) : part);
  };
  for (let at = range.from; at < range.to && !signal.aborted;) {
    const count = await bytes.read(block.subarray(0, Math.min(BLOCK_BYTES, range.to - at)), at);
    // The source has lost its end: half a line is no record, and what is missing is noticed as not covered.
    if (count === 0) return;
    let from = 0;
    for (let found = block.indexOf(NEWLINE); found >= 0 && found < count; found = block.indexOf(NEWLINE, from)) {
      take(block.subarray(from, found + 1));
      from = found + 1;
      yield end();
    }
    if (from < count) take(block.subarray(from, count));
    at += count;
  }
  if (length > 0 && !signal.aborted) yield end();
}

function recordOf(
  head: Buffer,
  at: { readonly offset: number; readonly length: number; readonly line: number },
  sha256: Buffer | undefined,
): SourceRecord {
  const record = { ...at, raw: head, value: '' };
  if (sha256)
    return rejected(
      record,
      'record_too_long',
      'too_long',
      `The line has ${at.length} bytes; ${LINE_BYTES_MAX} are allowed.`,
      sha256,
    );
  if (!isUtf8(head)) return rejected(record, 'record_invalid', 'not_utf8', 'The line is not valid UTF-8.');
  if (head.includes(0)) return rejected(record, 'record_invalid', 'nul', 'The line holds a NUL byte.');
  const value = head
    .toString('utf8')
    .replace(/\r?\n$/, '')
    .replace(at.offset === 0 ? /^\ufeff/ : /(?!)/, '');
  return value.trim() === '' ? { ...record, skip: true } : { ...record, value };
}

const rejected = (
  record: SourceRecord,
  code: 'record_too_long' | 'record_invalid',
  why: string,
  message: string,
  rawSha256?: Buffer,
): SourceRecord => ({
  ...record,
  reject: { code, violations: [{ field: '', code: why, message }], ...(rawSha256 ? { rawSha256 } : {}) },
});

async function fill(bytes: Bytes, into: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < into.length) {
    const count = await bytes.read(into.subarray(filled), position + filled);
    if (count === 0) break;
    filled += count;
  }
  return filled;
}
