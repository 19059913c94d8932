// What lives here: where a file's last finished record ends, which is as far as a run may plan to read.
// Invariant: a record that may still grow is left to a later run, never cut in two.
// Apart because it is the one question about a file that needs both its bytes and its format.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bytes } from '../flow/parse/bytes.ts';
import type { Format } from '../flow/parse/format.ts';
import { type Head, headIn } from '../flow/parse/head.ts';
import { RECORD_BYTES_MAX } from '../flow/read/cutter.ts';
import type { OpenFile } from './files.ts';

export interface EndOptions {
  readonly format: Format;
  /** Said by the pipeline: true = nothing will be added to the file, false = something may. Left out, the file's age decides. */
  readonly sealed?: boolean;
  /**
   * A file that was not changed for so long is taken as finished. Default: 1 s where the data date is past, because nobody writes
   * yesterday's records any more and only a copy under way has to be told apart; 60 s else.
   */
  readonly quietMs?: number;
  /** Whether the run's data date is over by the clock of Temporal's server: this machine's may be wrong. */
  readonly past: boolean;
}

export interface FinishedEnd {
  /** End of the last finished record in the decoded stream. */
  readonly to: number;
  /** Whether everything up to the end of the file is taken as finished. */
  readonly sealed: boolean;
  /** Bytes behind `to` that are left to a later run. */
  readonly left: number;
}

const QUIET_PAST_MS = 1000;
const QUIET_TODAY_MS = 60_000;
/** Planning waits at most so long for a file to become quiet. */
const WAIT_MS_MAX = 1500;

/** Bytes of the decoded stream: as stored, or counted by decoding. */
async function decodedBytes(file: OpenFile, bytes: Bytes): Promise<number> {
  if (file.codec === 'none') return (await file.stat()).storedBytes;
  const block = Buffer.allocUnsafe(1 << 20);
  for (let at = 0; ;) {
    const count = await bytes.read(block, at);
    if (count === 0) return at;
    at += count;
  }
}

/** Where the last finished record ends. Waits up to 1.5 s if only the file's age stands between it and being finished. */
export async function finishedEnd(file: OpenFile, bytes: Bytes, options: EndOptions): Promise<FinishedEnd> {
  const { format, past } = options;
  const size = await decodedBytes(file, bytes);
  const whole: FinishedEnd = { to: size, sealed: true, left: 0 };
  // What is compressed is finished: appending to it would break the stream.
  if (options.sealed === true || file.codec !== 'none') return whole;
  const to = await lastRecordEnd(bytes, size, format);
  const open: FinishedEnd = { to, sealed: false, left: size - to };
  if (options.sealed === false) return open;
  const quietMs = options.quietMs ?? (past ? QUIET_PAST_MS : QUIET_TODAY_MS);
  const { modifiedMs } = await file.stat();
  const missingMs = quietMs - (Date.now() - modifiedMs);
  if (missingMs > 0) {
    // Nothing is left behind: then a younger file needs no waiting.
    if (open.left === 0 || missingMs > WAIT_MS_MAX) return open;
    await sleep(Math.ceil(missingMs));
    // Not its age again: a timer may fire a moment early.
    const after = await file.stat();
    if (after.storedBytes !== size || after.modifiedMs !== modifiedMs) return open;
  }
  return whole;
}

/** End of the last record that nothing can be added to: behind the last newline, or, with continuation lines, before the last head. */
async function lastRecordEnd(bytes: Bytes, size: number, format: Format): Promise<number> {
  const head = headIn(format);
  const blockBytes = 64 * 1024;
  const overlap = head?.length ?? 0;
  for (let end = size; end > 0;) {
    const from = Math.max(0, end - blockBytes);
    // The overlap lets a head be seen whole that a border of blocks cuts.
    const block = Buffer.alloc(Math.min(size, end + overlap) - from);
    let filled = 0;
    while (filled < block.length) {
      const count = await bytes.read(block.subarray(filled), from + filled);
      if (count === 0) break;
      filled += count;
    }
    const found = lastBorder(block.subarray(0, filled), end - from, head);
    if (found >= 0) return from + found;
    end = from;
    // A last record above the limit is a reject whatever follows, but it must not be read backwards for ever.
    if (size - end > 64 * RECORD_BYTES_MAX) return size;
  }
  return 0;
}

/** Index of the last place where a record may end, before `limit`; -1 if there is none. */
function lastBorder(block: Buffer, limit: number, head: Head | undefined): number {
  if (head?.continues !== undefined) {
    // Only a trace continues a record: a line that begins one and ends is finished, unless its trace has begun to be written.
    const newline = block.lastIndexOf(10, limit - 1);
    const begin = newline < 1 ? 0 : block.lastIndexOf(10, newline - 1) + 1;
    if (newline >= 0 && head.isHead(block, begin, block.length)) return newline + 1;
  }
  for (let at = block.lastIndexOf(10, limit - 1); at >= 0; at = at === 0 ? -1 : block.lastIndexOf(10, at - 1)) {
    if (head === undefined) return at + 1;
    if (head.isHead(block, at + 1, block.length)) return at + 1;
  }
  return -1;
}
