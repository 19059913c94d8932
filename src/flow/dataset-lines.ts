// What lives here: how records become the lines and parts of a dataset, and lines again.
// Invariant: a part holds whole lines and at most 1 MiB, packed or not; what is unpacked is what was packed, by its hash, or reading fails.
// Apart because writers and readers of datasets share nothing else.
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { writeJson } from '../model/exact-json.ts';
import type { Part } from '../store/datasets.ts';
import type { TupleBuffer } from './encode.ts';
import type { Violation } from './types.ts';

const pack = promisify(gzip);
const unpack = promisify(gunzip);

/** Bytes of a part before it is packed: below 1 MiB by what gzip adds to bytes that do not shrink. */
export const PART_BYTES_MAX = 1024 * 1024 - 1024;
const NEWLINE = 10;

/** Writes a value as one line, or says why it cannot be one. */
export function writeLine(out: TupleBuffer, value: unknown): Violation[] {
  const line = lineOf(value);
  if (!Buffer.isBuffer(line)) return [line];
  const needed = out.used + line.byteLength;
  if (needed > out.bytes.byteLength) {
    const larger = Buffer.allocUnsafeSlow(Math.max(out.bytes.byteLength * 2, needed));
    out.bytes.copy(larger, 0, 0, out.used);
    out.bytes = larger;
  }
  line.copy(out.bytes, out.used);
  out.used = needed;
  return [];
}

/** A value as a line of JSON, its newline included, or what is wrong with it. `written`: its text, where its source has one. */
export function lineOf(value: unknown, written?: string): Buffer | Violation {
  let text: string | undefined;
  try {
    text = written ?? writeJson(value);
  } catch {
    text = undefined;
  }
  if (text === undefined) return { field: '', code: 'not_json', message: 'The value cannot be written as JSON.' };
  const line = Buffer.from(`${text}\n`);
  if (line.byteLength <= PART_BYTES_MAX) return line;
  const message = `The record has ${line.byteLength} bytes; a dataset takes up to ${PART_BYTES_MAX}.`;
  return { field: '', code: 'record_too_long', message };
}

/** Cuts whole lines into pieces of at most PART_BYTES_MAX. */
export function piecesOf(lines: Buffer): { readonly bytes: Buffer; readonly records: number }[] {
  const pieces: { bytes: Buffer; records: number }[] = [];
  let from = 0;
  let records = 0;
  let at = 0;
  while (at < lines.byteLength) {
    const end = lines.indexOf(NEWLINE, at) + 1;
    if (end - from > PART_BYTES_MAX) {
      pieces.push({ bytes: lines.subarray(from, at), records });
      from = at;
      records = 0;
    }
    records++;
    at = end;
  }
  if (records > 0) pieces.push({ bytes: lines.subarray(from), records });
  return pieces;
}

/** Packs the lines of a chunk that begins at `at`. */
export async function partsFrom(at: number, lines: Buffer): Promise<Part[]> {
  const parts: Part[] = [];
  for (const [piece, { bytes, records }] of piecesOf(lines).entries()) {
    const body = await pack(bytes);
    parts.push({ at, piece, records, bytes: bytes.byteLength, sha256: sha256Of(body), body });
  }
  return parts;
}

export const sha256Of = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** The lines of a stored part; undefined if it is not what was stored. */
export async function unpackPart(part: { body: Buffer; sha256: Buffer }, bytes: number): Promise<Buffer | undefined> {
  if (!sha256Of(part.body).equals(part.sha256)) return undefined;
  const lines = await unpack(part.body, { maxOutputLength: bytes }).catch(() => undefined);
  return lines?.byteLength === bytes ? lines : undefined;
}
