// What lives here: bytes through the cutter and back into rows that a test can read.
// Invariant: decodes by the columns' types alone, so that a wrong tuple shows as a wrong row.
// Apart because all tests of formats need it.
import {
  type Cutter,
  cutRange,
  type CutterSettings,
  filled,
  newCutter,
  nextChunk,
  room,
} from '../../../src/flow/read/cutter.ts';
import type { Format } from '../../../src/flow/parse/format.ts';
import type { Chunk, Reject } from '../../../src/flow/types.ts';

export interface Row {
  readonly sourceId: bigint;
  readonly offset: number;
  readonly line: number;
  /** Microseconds since 1970. */
  readonly micros: bigint;
  readonly severity: string;
  readonly module: string;
  readonly message: string;
  readonly attributes: Record<string, unknown> | null;
  readonly attributesText: string | null;
  readonly dataDay: number;
  readonly generation: number;
}

const EPOCH_2000_MICROS = 946_684_800_000_000n;

/** The rows of a chunk, decoded; fails if the tuples do not fill their buffer exactly. */
export function rowsOf(chunk: Chunk): Row[] {
  const bytes = Buffer.from(chunk.tuples.buffer, chunk.tuples.byteOffset, chunk.tuples.byteLength);
  const rows: Row[] = [];
  let at = 0;
  const field = (): Buffer | null => {
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length < 0) return null;
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    if (bytes.readInt16BE(at) !== 10) throw new Error(`No tuple at byte ${at}.`);
    at += 2;
    const [sourceId, offset, line, ts, severity, module, message, attributes, day, generation] = Array.from(
      { length: 10 },
      field,
    );
    const json = attributes === null ? null : attributes!.toString('utf8', 1);
    rows.push({
      sourceId: sourceId!.readBigInt64BE(),
      offset: Number(offset!.readBigInt64BE()),
      line: Number(line!.readBigInt64BE()),
      micros: ts!.readBigInt64BE() + EPOCH_2000_MICROS,
      severity: severity!.toString(),
      module: module!.toString(),
      message: message!.toString(),
      attributes: json === null ? null : (JSON.parse(json) as Record<string, unknown>),
      attributesText: json,
      dataDay: day!.readInt32BE(),
      generation: generation!.readInt32BE(),
    });
  }
  if (rows.length !== chunk.rows) throw new Error(`${chunk.rows} rows announced, ${rows.length} found.`);
  return rows;
}

export interface ReadOptions extends Partial<Omit<CutterSettings, 'format'>> {
  /** Bytes that come at once; repeated in a circle. Default: as many as there is room for. */
  readonly feed?: readonly number[];
  readonly from?: number;
  readonly to?: number;
}

/** The chunks of some bytes, fed in the given portions. */
export function chunksOf(format: Format, input: Uint8Array, options: ReadOptions = {}): Chunk[] {
  const { feed = [Number.MAX_SAFE_INTEGER], from = 0, to = input.length, ...more } = options;
  const constants = { sourceId: '7', dataDay: 9000, generation: 2 };
  const cutter: Cutter = newCutter({ format, constants, recordsMax: 1000, recordBytesMax: 1 << 20, ...more });
  const chunks: Chunk[] = [];
  cutRange(cutter, from, to, 1);
  for (let position = from, turn = 0; ; turn++) {
    let next = nextChunk(cutter);
    for (; typeof next !== 'string'; next = nextChunk(cutter)) chunks.push(next);
    if (next === 'end') return chunks;
    const space = room(cutter);
    const count = Math.min(space.length, input.length - position, feed[turn % feed.length]!);
    if (count === 0) throw new Error('The cutter asks for more than there is.');
    space.set(input.subarray(position, position + count));
    position += count;
    filled(cutter, count);
  }
}

export interface Read {
  readonly chunks: readonly Chunk[];
  readonly rows: readonly Row[];
  readonly rejects: readonly Reject[];
  readonly skipped: number;
}

/** Everything that some text or bytes become. */
export function readAll(format: Format, input: string | Uint8Array, options: ReadOptions = {}): Read {
  const chunks = chunksOf(format, typeof input === 'string' ? Buffer.from(input) : input, options);
  return {
    chunks,
    rows: chunks.flatMap(rowsOf),
    rejects: chunks.flatMap(({ rejects }) => rejects),
    skipped: chunks.reduce((sum, { skipped }) => sum + skipped, 0),
  };
}

/** What happens to one line of text: its row, the codes of its violations, or `skipped`. */
export function outcome(format: Format, line: string | Uint8Array): Row | readonly string[] | 'skipped' {
  const { rows, rejects, skipped } = readAll(format, line);
  if (rows.length + rejects.length + skipped !== 1) throw new Error('This is not one record.');
  return rows[0] ?? rejects[0]?.violations.map(({ code }) => code) ?? 'skipped';
}
