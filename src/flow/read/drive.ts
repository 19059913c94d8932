// What lives here: the loop that feeds a cutter from a source, range by range.
// Invariant: exactly the bytes of the ranges are read; a source that holds fewer is an error and never a shorter result.
// Apart because the parser thread and the in-process reader run the same loop.
import { CodedError } from '../../model/failure.ts';
import type { Chunk, Range } from '../types.ts';
import type { Bytes } from '../parse/bytes.ts';
import { type Cutter, cutRange, filled, nextChunk, room } from './cutter.ts';

const shrunk = (at: number, to: number): CodedError =>
  new CodedError(
    'source_shrunk',
    `The source ends at byte ${at}; the run planned to read up to byte ${to}. What was committed stays; put the whole file back and retry, or accept the loss of the rest.`,
  );

/** Newlines in `[from, to)`: where the lines before a range have to be counted. */
async function countLines(bytes: Bytes, from: number, to: number): Promise<number> {
  const block = Buffer.allocUnsafe(Math.min(1 << 20, to - from));
  let lines = 0;
  for (let position = from; position < to;) {
    const part = block.subarray(0, Math.min(block.length, to - position));
    const count = await bytes.read(part, position);
    if (count === 0) throw shrunk(position, to);
    const filledPart = part.subarray(0, count);
    for (let at = filledPart.indexOf(10); at >= 0; at = filledPart.indexOf(10, at + 1)) lines++;
    position += count;
  }
  return lines;
}

/** The chunks of the ranges, in order. Ends early when `aborted` says so. Throws `source_shrunk` and what reading throws. */
export async function* drive(
  cutter: Cutter,
  bytes: Bytes,
  ranges: readonly Range[],
  aborted: () => boolean,
): AsyncGenerator<Chunk> {
  let line = 1;
  let counted = 0;
  for (const { from, to, firstLine } of ranges) {
    if (aborted()) return;
    if (from >= to) continue;
    line = firstLine ?? line + (from > counted ? await countLines(bytes, counted, from) : 0);
    cutRange(cutter, from, to, line);
    for (let position = from; ;) {
      if (aborted()) return;
      const next = nextChunk(cutter);
      if (next === 'end') break;
      if (next !== 'more') {
        yield next;
        continue;
      }
      const count = await bytes.read(room(cutter), position);
      if (count === 0) throw shrunk(position, to);
      position += count;
      filled(cutter, count);
    }
    line = cutter.line;
    counted = to;
  }
}
