// What lives here: a log source as chunks of rows ready to load, parsed in a thread where that pays.
// Invariant: chunks are the same whether a thread or this process makes them; closing ends the thread and the descriptor.
// Apart because the loader asks for chunks and must not care where they are parsed.
import { CodedError } from '../model/failure.ts';
import { type Bytes, bytesOf, type Codec } from './parse/bytes.ts';
import { newCutter, giveBack, type Cutter, type CutterSettings } from './parse/cutter.ts';
import { drive, type PlacedRange } from './parse/drive.ts';
import type { Format } from './parse/format.ts';
import { dayOfDataDate } from './parse/time.ts';
import type { Chunk, ChunkReader, Range } from './types.ts';

export { LOG_COLUMNS } from './parse/tuple.ts';

/** A source that was opened: one descriptor for the attempt, which the reader closes. */
export interface OpenBytes {
  readonly fd: number;
  readonly codec: Codec;
  close(): Promise<void>;
}

export interface LogReaderOptions {
  readonly format: Format;
  /** Key of the source in the ledger, as a decimal number. */
  readonly sourceId: string;
  /** `2026-11-21`; the day that every row is loaded for. */
  readonly dataDate: string;
  readonly generation: number;
  /** Bytes of a record above which it is rejected unread. Default 1 MiB. */
  readonly recordBytesMax?: number;
}

/** Throws `config_invalid` if the format or the data date is declared wrong. */
function settingsOf(options: LogReaderOptions, recordsMax: number): CutterSettings {
  const dataDay = dayOfDataDate(options.dataDate);
  if (dataDay === undefined)
    throw new CodedError(
      'config_invalid',
      `The data date ${JSON.stringify(options.dataDate)} is not a day (YYYY-MM-DD).`,
    );
  return {
    format: options.format,
    constants: { sourceId: options.sourceId, dataDay, generation: options.generation },
    recordsMax,
    ...(options.recordBytesMax === undefined ? {} : { recordBytesMax: options.recordBytesMax }),
  };
}

/** Opens a reader over the bytes of a source. */
export function openLogReader(source: OpenBytes, options: LogReaderOptions): ChunkReader {
  const bytes = bytesOf(source.fd, source.codec);
  let cutter: Cutter | undefined;
  return {
    async *chunks(ranges: readonly PlacedRange[], { recordsMax, signal }): AsyncGenerator<Chunk> {
      cutter = newCutter(settingsOf(options, recordsMax));
      yield* drive(cutter, bytes, ranges, () => signal.aborted);
    },
    release(chunk) {
      if (cutter !== undefined) giveBack(cutter, chunk.tuples.buffer as ArrayBuffer);
    },
    raw: (offset, length) => rawOf(bytes, { from: offset, to: offset + length }),
    close: () => source.close(),
  };
}

async function rawOf(bytes: Bytes, { from, to }: Range): Promise<Uint8Array> {
  const raw = new Uint8Array(to - from);
  for (let at = 0; at < raw.length;) {
    const count = await bytes.read(raw.subarray(at), from + at);
    if (count === 0)
      throw new CodedError('source_shrunk', `The source ends at byte ${from + at}; byte ${to} was read before.`);
    at += count;
  }
  return raw;
}
