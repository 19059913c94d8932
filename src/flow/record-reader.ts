// What lives here: the general path: any async source of records, through steps, to chunks for the loader.
// Invariant: every record becomes a row, a reject or a skip of the chunk that covers its bytes; no bytes at all make it throw.
// Apart from the byte readers of log formats, which are several times faster and know one grammar each.
import { createHash, type Hash } from 'node:crypto';
import { CodedError } from '../model/failure.ts';
import type { Slice } from '../store/plans.ts';
import type { FlowContext } from './context.ts';
import { createTupleBuffer, type TupleBuffer, writeTuple } from './encode.ts';
import type { OpenSource } from './flow.ts';
import type { Sink } from './sink.ts';
import type { AnySteps } from './chain.ts';
import { refuseStrange, type Strange, strangeIn, strangeViolations } from './strange-columns.ts';
import type { Target } from './table.ts';
import { type Chunk, type ChunkReader, RAW_BYTES_MAX, type Range, type Reject, type Violation } from './types.ts';

/** A record as a source delivers it. Records tile the range: each begins where the one before ended. */
export interface SourceRecord {
  /** Byte offset in the decoded stream. */
  readonly offset: number;
  /** Bytes, terminator included. */
  readonly length: number;
  /** Physical line, from 1. */
  readonly line: number;
  /** What the first step gets: the text of a line, for example. */
  readonly value: unknown;
  /** The bytes; may be cut at 64 KiB where the record is longer. */
  readonly raw: Uint8Array;
  /** Physical lines it has; 1 unless told. */
  readonly lines?: number;
  /** Left out on purpose, such as a blank line. */
  readonly skip?: boolean;
  /** What the source itself found wrong, such as bytes that are no UTF-8. */
  readonly reject?: {
    readonly code: string;
    readonly violations: readonly Violation[];
    readonly rawSha256?: Uint8Array;
  };
}

/** A source of records, found and planned for one attempt. */
export interface OpenedRecords {
  readonly sourceId: string;
  readonly slice: Slice;
  /** How many records it has, where that is known before they are read. */
  readonly recordsAll?: number;
  /** Its records are aggregates: counted as rows, not as records. */
  readonly derived?: boolean;
  /** Sources of the same records as they were made before, such as the versions of a dataset: this one stands for them, so their rows go. */
  readonly earlier?: readonly string[];
  /** As of when the oldest of its inputs was fetched. */
  readonly asOf?: Date;
  /** Some of what this run committed is not in the source any more: it is compared closely before anything is read. */
  readonly doubted?: boolean;
  /** Records of the range in order, covering it without gaps. */
  records(range: Range, signal: AbortSignal): AsyncIterable<SourceRecord>;
  /** Bytes again, for a letter about a refused row and for hashing what a record had cut: `length` of them unless the source ends. */
  raw(offset: number, length: number): Promise<Uint8Array>;
  /** Whether the source still holds what was read of it; see `ChunkReader`. */
  readonly holds?: ChunkReader['holds'];
  close(): Promise<void>;
}

/** What connectors give a flow: how to find, plan and open the source for this run. `target`: the table its records go to; empty where they go to none. */
export interface RecordSource {
  openRecords(ctx: FlowContext, sink: Sink, target: string): Promise<OpenedRecords>;
}

interface Opening {
  readonly steps: AnySteps;
  /** Where values become rows of a table. */
  readonly target?: Target;
  /** Where they become something else. */
  readonly encode?: ((out: TupleBuffer, value: unknown) => Violation[]) | undefined;
  readonly sink: Sink;
  readonly ctx: FlowContext;
}

/** Opens the source and puts the steps behind it. The caller closes the reader. */
export async function openRecords(source: RecordSource, opening: Opening): Promise<OpenSource> {
  const opened = await source.openRecords(opening.ctx, opening.sink, opening.target?.name ?? '');
  const { sourceId, slice, recordsAll, derived, earlier, asOf, doubted } = opened;
  return {
    sourceId,
    slice,
    reader: recordReader(opened, opening),
    ...(recordsAll === undefined ? {} : { recordsAll }),
    ...(derived === undefined ? {} : { derived }),
    ...(earlier === undefined ? {} : { earlier }),
    ...(asOf === undefined ? {} : { asOf }),
    ...(doubted === undefined ? {} : { doubted }),
  };
}

/** Read at once of a record that is longer than what is kept of it. */
const HASH_BYTES = 1 << 20;
/** A chunk is full at this size even if it has fewer records than allowed. */
const CHUNK_BYTES_MAX = 8 * 1024 * 1024;

/** The reader that cuts records into chunks. */
export function recordReader(
  opened: OpenedRecords,
  opening: Pick<Opening, 'steps' | 'target' | 'encode' | 'ctx'>,
): ChunkReader {
  return {
    async *chunks(ranges, { recordsMax, signal }) {
      for (const range of ranges) {
        let draft = begin(range.from);
        for await (const record of opened.records(range, signal)) {
          if (signal.aborted) return;
          await hashRecord(draft.hash, record, opened);
          add(draft, record, opened.sourceId, opening);
          if (draft.records < recordsMax && draft.size < CHUNK_BYTES_MAX) continue;
          yield finish(draft, opening.target);
          draft = begin(draft.to);
        }
        if (signal.aborted) return;
        if (draft.records > 0) yield finish(draft, opening.target);
      }
    },
    release: () => undefined, // Buffers are small enough to leave to the collector.
    raw: (offset, length) => opened.raw(offset, length),
    ...(opened.holds ? { holds: opened.holds } : {}),
    close: () => opened.close(),
  };
}

/** The hash of a range proves later that a file still holds it, so it goes over all bytes: those of a record that was cut are read again. */
async function hashRecord(hash: Hash, record: SourceRecord, opened: Pick<OpenedRecords, 'raw'>): Promise<void> {
  hash.update(record.raw);
  for (let done = record.raw.byteLength; done < record.length;) {
    const part = await opened.raw(record.offset + done, Math.min(HASH_BYTES, record.length - done));
    if (part.byteLength === 0) return;
    hash.update(part);
    done += part.byteLength;
  }
}

interface Draft {
  readonly from: number;
  to: number;
  firstLine: number;
  lines: number;
  records: number;
  skipped: number;
  size: number;
  readonly out: TupleBuffer;
  readonly offsets: number[];
  readonly lengths: number[];
  readonly lineNumbers: number[];
  readonly rejects: Reject[];
  readonly strange: Strange;
  readonly hash: Hash;
}

const begin = (from: number): Draft => ({
  from,
  to: from,
  firstLine: 0,
  lines: 0,
  records: 0,
  skipped: 0,
  size: 0,
  out: createTupleBuffer(),
  offsets: [],
  lengths: [],
  lineNumbers: [],
  rejects: [],
  strange: { rows: 0, common: undefined },
  hash: createHash('sha256'),
});

function add(
  draft: Draft,
  record: SourceRecord,
  sourceId: string,
  { steps, target, encode, ctx }: Pick<Opening, 'steps' | 'target' | 'encode' | 'ctx'>,
): void {
  refuseBroken(draft, record);
  if (draft.records === 0) draft.firstLine = record.line;
  draft.records++;
  draft.lines += record.lines ?? 1;
  draft.to = record.offset + record.length;
  draft.size += record.length;
  if (record.skip) {
    draft.skipped++;
    return;
  }
  const end = record.reject ?? through(steps, record, ctx.dataDate);
  if ('skip' in end) {
    draft.skipped++;
    return;
  }
  if ('code' in end) {
    draft.rejects.push(rejectOf(record, end));
    return;
  }
  const violations = encode
    ? encode(draft.out, end.value)
    : intoTuple(draft, { value: end.value, record, sourceId, ctx, target });
  if (violations.length > 0) {
    draft.rejects.push(rejectOf(record, { code: 'record_invalid', violations }));
    return;
  }
  draft.offsets.push(record.offset);
  draft.lengths.push(record.length);
  draft.lineNumbers.push(record.line);
}

/** The row as a tuple, or all that is wrong with it: a column that is not there as well as a value that does not fit. */
function intoTuple(
  draft: Draft,
  at: { value: unknown; record: SourceRecord; sourceId: string; ctx: FlowContext; target: Target | undefined },
): Violation[] {
  const { value, record, sourceId, ctx, target } = at;
  const own = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : { value };
  const strange = target ? strangeIn(target, own, draft.strange) : [];
  const before = draft.out.used;
  const violations = writeTuple(draft.out, target?.columns ?? [], rowOf(own, record, sourceId, ctx));
  if (!target || strange.length === 0) return violations;
  draft.out.used = before;
  return [...strangeViolations(target, strange), ...violations];
}

/** Records that do not follow each other, or bytes that are not there, would be accounted for and lost. */
function refuseBroken(draft: Draft, record: SourceRecord): void {
  if (record.offset !== draft.to || !(record.length > 0))
    throw new CodedError(
      'code_bug',
      `The source delivered a record at offset ${record.offset} with ${record.length} bytes where offset ${draft.to} follows. The chunk was not written.`,
    );
  if (record.raw.byteLength < Math.min(record.length, RAW_BYTES_MAX))
    throw new CodedError(
      'source_shrunk',
      `The source has ${record.raw.byteLength} bytes at offset ${record.offset} where ${record.length} were planned. What was committed before stays.`,
    );
}

/** The value after all steps, or why there is none. */
function through(steps: AnySteps, record: SourceRecord, dataDate: string) {
  const about = { offset: record.offset, line: record.line, dataDate };
  let value = record.value;
  for (const step of steps) {
    const end = step.run(value, about);
    if (!('value' in end)) return end;
    value = end.value;
  }
  return { value };
}

/** The user's row with what the flow knows: its key, and line, date and generation where the row does not say. */
function rowOf(
  own: Record<string, unknown>,
  record: SourceRecord,
  sourceId: string,
  ctx: FlowContext,
): Record<string, unknown> {
  return {
    line_no: record.line,
    data_date: ctx.dataDate,
    generation: ctx.generation,
    ...own,
    source_id: sourceId,
    offset: record.offset,
  };
}

function rejectOf(
  record: SourceRecord,
  end: { readonly code: string; readonly violations: readonly Violation[]; readonly rawSha256?: Uint8Array },
): Reject {
  const bytes = Buffer.from(record.raw);
  const whole = bytes.byteLength === record.length;
  const body = whole && bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes;
  return {
    offset: record.offset,
    length: record.length,
    line: record.line,
    raw: Uint8Array.from(body.subarray(0, RAW_BYTES_MAX)),
    rawWhole: whole && body.byteLength <= RAW_BYTES_MAX,
    rawSha256: end.rawSha256 ?? createHash('sha256').update(body).digest(),
    code: end.code,
    violations: end.violations,
  };
}

function finish(draft: Draft, target: Target | undefined): Chunk {
  if (target) refuseStrange(target, draft.strange);
  const tuples = draft.out.bytes.subarray(0, draft.out.used);
  return {
    from: draft.from,
    to: draft.to,
    firstLine: draft.firstLine,
    lines: draft.lines,
    rows: draft.offsets.length,
    tuples,
    offsets: Float64Array.from(draft.offsets),
    lengths: Uint32Array.from(draft.lengths),
    lineNumbers: Float64Array.from(draft.lineNumbers),
    skipped: draft.skipped,
    rejects: draft.rejects,
    rawSha256: draft.hash.digest(),
    rowsSha256: createHash('sha256').update(tuples).digest(),
  };
}
