// What lives here: reading on after a worker died: a few records at a time, and saying beforehand which.
// Invariant: what is in flight is committed before it is parsed, so a record that kills workers convicts itself.
// Apart because it trades speed for evidence, and the normal path must not.
import { createHash } from 'node:crypto';
import { CodedError } from '../model/failure.ts';
import { hit } from '../store/failpoint.ts';
import { uncovered } from '../store/ledger.ts';
import { clearStrike, readStrike, type Strike, writeStrike } from '../store/strikes.ts';
import type { Lane, Work } from './chunk.ts';
import type { Bins, FlowContext, Segment } from './context.ts';
import { commitOne, type Pace } from './lanes.ts';
import { segmentEnd } from './segment.ts';
import type { Session } from './session.ts';
import type { Slice } from '../store/plans.ts';
import { type Chunk, type ChunkReader, RAW_BYTES_MAX, type Range } from './types.ts';

/** Records in flight at once: few enough to be tried one by one, many enough that an innocent restart costs seconds. */
const RECORDS_SAFE = 1_024;
/** What the dead worker can have had in hand, parsed or on its way: two lanes and two chunks before them. Beyond it nothing is under suspicion. */
const SUSPECT_RECORDS = 80_000;
/** So often a range may be in flight when its worker dies, before its records are tried one by one. */
export const STRIKES_MAX = 3;
/** A line is looked for in steps of this size. */
const LOOK_BYTES = 64 * 1024;

/**
 * Works through what may have killed the last worker, and then goes on in the normal way, which is given as `beyond`.
 * The same results as the normal way, at a tenth of its speed.
 */
export async function workInSafeMode(
  work: Work,
  session: Session,
  slice: Slice,
  ctx: FlowContext,
  pace: Pace,
  beyond: () => Promise<Segment<Bins>>,
): Promise<Segment<Bins>> {
  const lane = session.lanes[0]!;
  const cautious: Work = { ...work, alongside: (client, chunk) => clearStrike(client, work.key, chunk.from) };
  let zone = 0;
  let suspects = SUSPECT_RECORDS;
  // Where the last step ended: its line number saves counting all lines before the next one.
  let ended: Chunk | undefined;
  for (;;) {
    if (suspects <= 0 && zone === 0) return await beyond();
    const left = await uncovered(session.control, work.key, slice);
    hit('flow.afterPlan');
    const end = await segmentEnd(work, session, slice, left, ctx, pace);
    if (end) return end;
    const next = left[0]!;
    const line = ended?.to === next.from ? { firstLine: ended.firstLine + ended.lines } : {};
    const stepped = await step(cautious, lane, { ...next, ...line }, zone, ctx, pace);
    ended = stepped.chunk ?? ended;
    zone = stepped.zone;
    suspects -= stepped.records;
  }
}

interface Stepped {
  readonly chunk?: Chunk;
  readonly records: number;
  /** How many records of a bisected range are left to be tried one by one. */
  readonly zone: number;
}

/** One range: announced, read, committed. */
async function step(
  work: Work,
  lane: Lane,
  range: Range,
  zone: number,
  ctx: FlowContext,
  pace: Pace,
): Promise<Stepped> {
  const { client } = lane;
  const past = await readStrike(client, work.key, range.from);
  const now = announced(past, zone);
  if (now === 'convict') {
    await commitOne(work, lane, await suspect(work.reader, range, past!.strikes), ctx, pace);
    return { records: 1, zone: Math.max(0, past!.zone - 1) };
  }
  await writeStrike(client, work.key, range.from, now);
  const chunk = await alive(work, lane, range, past, async () => {
    const first = await firstChunk(work.reader, range, now.records, ctx.signal);
    if (first) await commitOne(work, lane, first, ctx, pace);
    else if (!ctx.signal.aborted)
      throw new CodedError(
        'source_shrunk',
        `The source ended at offset ${range.from}; it was planned up to ${range.to}. What was committed before stays.`,
      );
    return first;
  });
  const records = chunk ? chunk.rows + chunk.rejects.length + chunk.skipped : 0;
  return { ...(chunk ? { chunk } : {}), records, zone: Math.max(0, now.zone - records) };
}

/** An end that this process lives to see, by failure or by being told to stop, is no strike: what was announced is taken back, as far as the database can be reached. */
async function alive(
  work: Work,
  lane: Lane,
  range: Range,
  past: Strike | undefined,
  body: () => Promise<Chunk | undefined>,
): Promise<Chunk | undefined> {
  let chunk: Chunk | undefined;
  try {
    chunk = await body();
    return chunk;
  } finally {
    if (!chunk) {
      const takeBack = past
        ? writeStrike(lane.client, work.key, range.from, past)
        : clearStrike(lane.client, work.key, range.from);
      await takeBack.catch(() => undefined); // A strike too many costs a few slow records; the end itself matters more.
    }
  }
}

/** What goes in flight next, from what died here before. */
function announced(past: Strike | undefined, zone: number): Strike | 'convict' {
  if (past?.records === 1 && past.zone > 0) return 'convict';
  if (past && past.strikes >= STRIKES_MAX) return { records: 1, zone: past.records, strikes: 1 };
  if (zone > 0) return { records: 1, zone, strikes: 1 };
  return { records: RECORDS_SAFE, zone: 0, strikes: (past?.strikes ?? 0) + 1 };
}

async function firstChunk(
  reader: ChunkReader,
  range: Range,
  recordsMax: number,
  outer: AbortSignal,
): Promise<Chunk | undefined> {
  const enough = new AbortController();
  const signal = AbortSignal.any([outer, enough.signal]);
  const iterator = reader.chunks([range], { recordsMax, signal, lazily: true })[Symbol.asyncIterator]();
  try {
    const next = await iterator.next();
    return next.done ? undefined : next.value;
  } finally {
    enough.abort();
    await iterator.return?.();
  }
}

/** The line at the beginning of the range as a letter, found without the parser that died on it. */
async function suspect(reader: ChunkReader, range: Range, strikes: number): Promise<Chunk> {
  const hash = createHash('sha256');
  const kept: Buffer[] = [];
  let at = range.from;
  let ended = false;
  while (!ended && at < range.to) {
    const piece = Buffer.from(await reader.raw(at, Math.min(LOOK_BYTES, range.to - at)));
    if (piece.byteLength === 0) break;
    const newline = piece.indexOf(0x0a);
    const taken = newline < 0 ? piece : piece.subarray(0, newline + 1);
    ended = newline >= 0;
    hash.update(taken);
    if (kept.length === 0) kept.push(taken);
    at += taken.byteLength;
  }
  const digest = hash.digest();
  const raw = kept[0]?.subarray(0, RAW_BYTES_MAX) ?? Buffer.alloc(0);
  const length = at - range.from;
  return {
    from: range.from,
    to: at,
    firstLine: 0,
    lines: 1,
    rows: 0,
    tuples: new Uint8Array(0),
    offsets: new Float64Array(0),
    lengths: new Uint32Array(0),
    skipped: 0,
    rawSha256: digest,
    rowsSha256: createHash('sha256').digest(),
    rejects: [
      {
        offset: range.from,
        length,
        line: 0,
        raw,
        rawWhole: raw.byteLength === length,
        rawSha256: digest,
        code: 'crash_suspect',
        violations: [
          {
            field: '',
            code: 'crash_suspect',
            message: `In flight, alone, when a worker died; ${strikes} times in all.`,
          },
        ],
      },
    ],
  };
}
