// What lives here: parallel connections that take chunks from one reader and commit them.
// Invariant: the first failure stops all lanes at the end of the chunk they are in; every chunk's buffer goes back to the reader.
// Apart because it is about concurrency and nothing else.
import { CodedError } from '../model/failure.ts';
import { commitChunk, type Lane, type Work } from './chunk.ts';
import type { FlowContext } from './context.ts';
import type { Chunk, Range } from './types.ts';

/** How fast a flow goes; shared by the passes of one segment. */
export interface Pace {
  /** Records of a chunk at most; halved when chunks take too long. */
  recordsMax: number;
  /** When the segment is over, in ms since 1970. */
  readonly endsAt: number;
  /** A segment ends only after at least one chunk. */
  worked?: boolean;
}

/** A transaction longer than this holds its locks and the next take-over up. */
const CHUNK_MS_MAX = 3_000;
const RECORDS_MIN = 500;
/** Longer timers of Node fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Works the ranges until they are read, time is up, the signal aborts, or chunks have to become smaller. Returns how many chunks it took. */
export async function workLanes(
  work: Work,
  lanes: readonly Lane[],
  ranges: readonly Range[],
  ctx: FlowContext,
  pace: Pace,
): Promise<number> {
  const stopped = new AbortController();
  const signal = AbortSignal.any([ctx.signal, stopped.signal]);
  const iterator = work.reader.chunks(ranges, { recordsMax: pace.recordsMax, signal })[Symbol.asyncIterator]();
  const pull = turnstile(iterator);
  let taken = 0;
  const run = async (lane: Lane): Promise<void> => {
    while (!signal.aborted) {
      const chunk = await pull();
      if (!chunk) return;
      if (signal.aborted) return work.reader.release(chunk);
      refuseOutside(chunk, ranges);
      taken++;
      const startedAt = performance.now();
      await commitOne(work, lane, chunk, ctx, pace);
      if (performance.now() - startedAt > CHUNK_MS_MAX && pace.recordsMax > RECORDS_MIN && chunk.rows > RECORDS_MIN) {
        pace.recordsMax = Math.max(RECORDS_MIN, Math.floor(Math.min(pace.recordsMax, chunk.rows) / 2));
        stopped.abort();
      }
      if (performance.now() >= pace.endsAt) stopped.abort();
    }
  };
  // A reader that takes long over its next chunk must not stretch the segment.
  const bell = setTimeout(
    () => pace.worked && stopped.abort(),
    Math.min(TIMER_MS_MAX, Math.max(0, pace.endsAt - performance.now())),
  );
  const ends = await Promise.allSettled(
    lanes.map((lane) =>
      run(lane).catch((error: unknown) => {
        stopped.abort();
        throw error;
      }),
    ),
  );
  clearTimeout(bell);
  await iterator.return?.();
  const failed = ends.filter((end) => end.status === 'rejected');
  if (failed.length > 0) throw worst(failed.map(({ reason }) => reason as unknown));
  return taken;
}

/** A reader that goes astray must not be able to write what was not planned. */
function refuseOutside(chunk: Chunk, ranges: readonly Range[]): void {
  if (chunk.from < chunk.to && ranges.some(({ from, to }) => chunk.from >= from && chunk.to <= to)) return;
  throw new CodedError(
    'code_bug',
    `The reader delivered bytes ${chunk.from} to ${chunk.to}, which it was not asked for. The chunk was not written.`,
  );
}

/** Commits a chunk and tells about it; its buffer goes back whatever happens. */
export async function commitOne(work: Work, lane: Lane, chunk: Chunk, ctx: FlowContext, pace: Pace): Promise<void> {
  try {
    const bins = await commitChunk(work, lane, chunk);
    pace.worked = true;
    if (bins) ctx.onChunk({ from: chunk.from, to: chunk.to, ...bins });
  } finally {
    work.reader.release(chunk);
  }
}

/** An unknown commit has to be settled whatever else went wrong beside it; otherwise the first failure is the cause of the others. */
function worst(errors: readonly unknown[]): unknown {
  const unknown = errors.find(
    (error) => (error as { failure?: { code?: unknown } }).failure?.code === 'pg_commit_unknown',
  );
  return unknown ?? errors[0];
}

/** One `next()` at a time, whoever asks: not every iterator keeps its order when asked twice at once. After an end or a failure all get the same. */
function turnstile(iterator: AsyncIterator<Chunk>): () => Promise<Chunk | undefined> {
  let last: Promise<Chunk | undefined> = Promise.resolve(undefined);
  let ended = false;
  return () => {
    last = last.then(async () => {
      if (ended) return undefined;
      const next = await iterator.next();
      if (!next.done) return next.value;
      ended = true;
      return undefined;
    });
    return last;
  };
}
