// What lives here: a log source as chunks of rows ready to load, parsed in a thread where that pays.
// Invariant: chunks are the same whether a thread or this process makes them; closing ends the thread and the descriptor.
// Apart because the loader asks for chunks and must not care where they are parsed.
import { CodedError } from '../model/failure.ts';
import { type Bytes, bytesOf, type Codec } from './parse/bytes.ts';
import { type CutterSettings, giveBack, newCutter } from './read/cutter.ts';
import { drive } from './read/drive.ts';
import type { Format } from './parse/format.ts';
import { type ParserThread, parserThread, ThreadUnavailable } from './read/thread.ts';
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
  /** Where to parse. Default `auto`: in a thread from 4 MiB on, below that its start would cost more than it saves. */
  readonly thread?: 'auto' | 'always' | 'never';
}

/** A reader that tells where it parsed, for measurements and tests. */
export interface LogReader extends ChunkReader {
  /** Where the chunks that came last were made. */
  readonly parsedIn: 'nowhere yet' | 'thread' | 'process';
}

const THREAD_BYTES_MIN = 4 << 20;
/** Chunks that wait, parsed, for the loader. With two lanes that load, two more keep both busy. */
const CREDITS = 2;

/** Throws `config_invalid` if the format or the data date is declared wrong. */
function settingsOf(options: LogReaderOptions, recordsMax: number, bytesAll: number): CutterSettings {
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
    bytesAll,
    ...(options.recordBytesMax === undefined ? {} : { recordBytesMax: options.recordBytesMax }),
  };
}

/** Opens a reader over the bytes of a source. */
export function openLogReader(source: OpenBytes, options: LogReaderOptions): LogReader {
  const { fd, codec } = source;
  const threads = new Set<ParserThread>();
  // Who made a chunk gets its memory back; a chunk that is never handed back is collected with its owner.
  const free = new WeakMap<Chunk, () => void>();
  let parsedIn: LogReader['parsedIn'] = 'nowhere yet';
  let broken = false;

  async function* inThread(ranges: readonly Range[], settings: CutterSettings, signal: AbortSignal) {
    const thread = parserThread({ fd, codec, ranges, settings, credits: CREDITS });
    threads.add(thread);
    try {
      for await (const chunk of thread.chunks(signal)) {
        parsedIn = 'thread';
        free.set(chunk, () => threads.has(thread) && thread.free(chunk.tuples.buffer as ArrayBuffer));
        yield chunk;
      }
    } finally {
      threads.delete(thread);
      await thread.end();
    }
  }
  async function* inProcess(ranges: readonly Range[], settings: CutterSettings, signal: AbortSignal) {
    const cutter = newCutter(settings);
    for await (const chunk of drive(cutter, bytesOf(fd, codec), ranges, () => signal.aborted)) {
      parsedIn = 'process';
      free.set(chunk, () => giveBack(cutter, chunk.tuples.buffer as ArrayBuffer));
      yield chunk;
    }
  }
  return {
    get parsedIn() {
      return parsedIn;
    },
    async *chunks(ranges, { recordsMax, signal, lazily = false }) {
      const total = ranges.reduce((sum, { from, to }) => sum + to - from, 0);
      const settings = settingsOf(options, recordsMax, total);
      const { thread = 'auto' } = options;
      if (!broken && !lazily && thread !== 'never' && (thread === 'always' || total >= THREAD_BYTES_MIN)) {
        try {
          return yield* inThread(ranges, settings, signal);
        } catch (error) {
          if (!(error instanceof ThreadUnavailable)) throw error;
          broken = true;
        }
      }
      yield* inProcess(ranges, settings, signal);
    },
    release(chunk) {
      free.get(chunk)?.();
      free.delete(chunk);
    },
    raw: (offset, length) => rawOf(bytesOf(fd, codec), { from: offset, to: offset + length }),
    async close() {
      await Promise.all([...threads].map((each) => each.end()));
      await source.close();
    },
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
