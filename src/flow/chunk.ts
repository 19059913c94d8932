// What lives here: committing one chunk: ledger, rows, letters and fence in one transaction.
// Invariant: the order below; a chunk is either committed whole, once, or has left nothing.
// Apart because this is the transaction that "exactly once" means.
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { CodedError } from '../model/failure.ts';
import { shellWord } from '../model/shell.ts';
import { commit, rollback } from '../store/db.ts';
import { hit } from '../store/failpoint.ts';
import { fence, type Lease } from '../store/lease.ts';
import { correctChunk, insertChunk, isCommitted, type LedgerKey, writeLost } from '../store/ledger.ts';
import { insertLetters, supersedeLetters } from '../store/letters.ts';
import { addNote } from '../store/notes.ts';
import type { Sealer } from '../store/seal.ts';
import type { AcceptedLoss, Bins } from './context.ts';
import { acceptedFewer, codesInWords, rowsFewer } from './fewer.ts';
import { type Limit, SAMPLE_LETTERS } from './limit.ts';
import { type Loader, startsOf } from './loader.ts';
import { commonPlace, mistakeNote, ownMistake, placeOfAll } from './own-mistake.ts';
import { isRecordError, loadAround, type Run } from './poison.ts';
import { type Target } from './table.ts';
import { bigintField } from './tuples.ts';
import { refuseTwice } from './twice.ts';
import { type Chunk, type ChunkReader, RAW_BYTES_MAX, type Reject } from './types.ts';

/** What all chunks of a flow have in common. */
export interface Work {
  readonly key: LedgerKey;
  /** First execution of the chain of the run; a script has none. */
  readonly execution?: string | undefined;
  /** The table, where it is one. */
  readonly target?: Target | undefined;
  /** Records go on to a later stage, so they are in no bin yet. */
  readonly passes?: boolean;
  /** Records are aggregates: counted as rows, in no bin. */
  readonly derived?: boolean;
  readonly loader: Loader;
  readonly lease: Lease;
  readonly limit: Limit;
  readonly seal: Sealer;
  readonly reader: ChunkReader;
  /** Somebody said that this reading may leave fewer rows than there were. */
  readonly acceptLoss?: AcceptedLoss;
  /** Somebody said to go on, so what another run has loaded may be loaded again. */
  readonly decided?: boolean;
  /** Part of the chunk's transaction, before the fence; for what has to change together with it. */
  readonly alongside?: (client: pg.ClientBase, chunk: Chunk) => Promise<void>;
}

/** One of the parallel connections of a lease. */
export interface Lane {
  readonly no: number;
  readonly client: pg.Client;
}

/** How a chunk ended: its bins, or undefined if the ledger had it already. */
export type Committed = Bins | undefined;

/** The bins of a chunk, and what of it went on to a later stage. */
type Counts = Bins & { readonly passed: number };

const countsFor = (
  { passes, derived }: Pick<Work, 'passes' | 'derived'>,
  chunk: Chunk,
  arrived: { loaded: number; duplicate: number },
  quarantined: number,
): Counts => {
  if (derived) return { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0, passed: 0 };
  const read = chunk.rows + chunk.rejects.length + chunk.skipped;
  const ends = passes ? { loaded: 0, duplicate: 0, passed: chunk.rows } : { ...arrived, passed: 0 };
  return { read, ...ends, quarantined, skipped: chunk.skipped };
};

const recordsOf = (chunk: Chunk): number => chunk.rows + chunk.rejects.length + chunk.skipped;

/**
 * Commits a chunk. A row that the database refuses becomes a letter, and the others are loaded.
 * Fails with `quarantine_limit` (after keeping a sample of letters), `ledger_conflict` (plan again), `fenced`, `rows_dropped`,
 * `pg_commit_unknown` (take the lease again), or with the error of Postgres; in all of these the chunk has left nothing, or that is unknown.
 */
export async function commitChunk(work: Work, lane: Lane, chunk: Chunk): Promise<Committed> {
  refuseBadAggregate(work, chunk.rejects);
  if (work.limit.exceeded(recordsOf(chunk), chunk.rejects.length)) await stop(work, lane, chunk, chunk.rejects);
  try {
    return await transact(work, lane, chunk);
  } catch (error) {
    if (!(error instanceof RowsRefused)) throw error;
    return await transact(work, lane, chunk, error.cause);
  }
}

/** Code made this row from many records, so no record is to blame, and a letter would lose a figure. */
function refuseBadAggregate(work: Work, rejects: readonly Reject[]): void {
  if (!work.derived || rejects.length === 0) return;
  const [first] = rejects;
  const fields = first!.violations.map(({ field, code }) => `${field} ${code}`).join(', ');
  throw new CodedError(
    'code_bug',
    `${work.key.stage} made ${rejects.length} rows that do not fit ${work.target?.name ?? 'their dataset'} (the first: ${fields}). The chunk was not written.`,
  );
}

/** The first COPY failed at a row: everything is undone, and the chunk is done again around what is refused. */
class RowsRefused extends Error {}

/** The limit was passed while rows were being tried. */
class TooManyRefused extends Error {
  readonly refused: readonly Reject[];
  constructor(refused: readonly Reject[]) {
    super();
    this.refused = refused;
  }
}

async function transact(work: Work, lane: Lane, chunk: Chunk, poison?: unknown): Promise<Committed> {
  const { client } = lane;
  let bins: Committed;
  await client.query('begin isolation level read committed');
  try {
    hit('chunk.afterBegin');
    bins = await write(work, lane, chunk, poison);
    if (!bins) return await settleConflict(work, client, chunk);
    await client.query('set constraints all immediate');
    await fence(client, work.lease, lane.no);
    hit('chunk.afterFence');
    hit('chunk.beforeCommit');
  } catch (error) {
    await rollback(client);
    if (error instanceof TooManyRefused) return await stop(work, lane, chunk, [...chunk.rejects, ...error.refused]);
    if (!(error instanceof RowsFewer)) throw error;
    if (work.limit.stopFirst()) await keepSample(work, lane, error.rejects.slice(0, SAMPLE_LETTERS));
    throw error.failure;
  }
  await commit(client, () => hit('chunk.inCommit'));
  hit('chunk.afterCommit');
  work.limit.add(bins);
  return bins;
}

async function write(work: Work, lane: Lane, chunk: Chunk, poison: unknown): Promise<Committed> {
  const { client } = lane;
  const { key } = work;
  const planned = countsFor(work, chunk, { loaded: chunk.rows, duplicate: 0 }, chunk.rejects.length);
  const row = { ...planned, from: chunk.from, to: chunk.to, firstLine: chunk.firstLine, epoch: work.lease.epoch };
  const hashes = { rawSha256: Buffer.from(chunk.rawSha256), rowsSha256: Buffer.from(chunk.rowsSha256) };
  if (!(await insertChunk(client, key, { ...row, ...hashes, rowsOut: chunk.rows }))) return undefined;
  hit('chunk.afterLedger');
  const rowsBefore = (await work.loader.rowsIn?.(client, chunk, key.sourceId)) ?? 0;
  const { arrived, refused } = await load(work, client, chunk, poison);
  hit('chunk.afterCopy');
  const rejects = [...chunk.rejects, ...refused.values()];
  const fewer = rowsBefore - (chunk.rows - refused.size);
  if (fewer > 0) await leaveFewer(work, client, chunk, { rowsBefore, fewer, rejects });
  await work.loader.tidy?.(client, chunk, key.sourceId, new Set(refused.keys()));
  refuseBadAggregate(work, rejects);
  if (key.generation > 1 && !work.decided && arrived.added > 0)
    await refuseTwice(client, key, { table: work.target?.name ?? 'a dataset', rows: arrived.added, range: chunk });
  const bins = countsFor(work, chunk, arrived, rejects.length);
  if (refused.size > 0 || arrived.duplicate > 0)
    await correctChunk(client, key, chunk.from, bins, chunk.rows - refused.size);
  await insertLetters(client, key, rejects, { seal: work.seal, sample: false });
  if (key.generation > 1) await supersedeLetters(client, key, chunk, rejects);
  const mistake = placeOfAll(rejects, recordsOf(chunk));
  if (mistake !== undefined)
    await addNote(client, { ...key, execution: work.execution }, mistakeNote(key.stage, mistake), 'mistake');
  hit('chunk.afterLetters');
  await work.alongside?.(client, chunk);
  return bins;
}

/** A reading would take rows away that an earlier generation had. */
class RowsFewer extends Error {
  readonly failure: CodedError;
  readonly rejects: readonly Reject[];
  constructor(failure: CodedError, rejects: readonly Reject[]) {
    super();
    this.failure = failure;
    this.rejects = rejects;
  }
}

async function leaveFewer(
  { key, target, acceptLoss }: Work,
  client: pg.ClientBase,
  chunk: Chunk,
  { rowsBefore, fewer, rejects }: { rowsBefore: number; fewer: number; rejects: readonly Reject[] },
): Promise<void> {
  const records = recordsOf(chunk);
  // Who accepted fewer rows did not mean those of good records.
  const own = ownMistake(key, rejects, { records, at: chunk.from, kept: Math.min(rejects.length, SAMPLE_LETTERS) });
  if (own) throw new RowsFewer(own, rejects);
  if (acceptLoss) return writeLost(client, key, fewer, acceptedFewer(acceptLoss), chunk.from);
  const counts = { before: rowsBefore, after: rowsBefore - fewer };
  const codes = new Map<string, number>();
  for (const { code } of rejects) codes.set(code, (codes.get(code) ?? 0) + 1);
  const place = commonPlace(rejects)?.place;
  throw new RowsFewer(
    rowsFewer(key, {
      table: `${target?.name ?? key.stage} (bytes ${chunk.from} to ${chunk.to} of the source)`,
      ...counts,
      why: `of ${records} records ${rejects.length} were quarantined${codesInWords([...codes])} and ${chunk.skipped} skipped`,
      ...(place === undefined ? {} : { mistake: mistakeNote(key.stage, place) }),
      letters: rejects.length > 0,
    }),
    rejects,
  );
}

/** All rows at once; or, if that failed before, all but those that are refused one by one. */
async function load(work: Work, client: pg.ClientBase, chunk: Chunk, poison: unknown) {
  const refused = new Map<number, Reject>();
  const arrived = { loaded: 0, duplicate: 0, added: 0 };
  const part = async (runs: readonly Run[], prologue: string): Promise<void> => {
    const { loaded, duplicate, added = 0 } = await work.loader.load(client, chunk, runs, prologue);
    arrived.loaded += loaded;
    arrived.duplicate += duplicate;
    arrived.added += added;
  };
  if (poison === undefined) {
    try {
      if (chunk.rows > 0) await part([[0, chunk.rows]], '');
    } catch (error) {
      throw isRecordError(error) ? new RowsRefused('', { cause: error }) : error;
    }
    return { arrived, refused };
  }
  const read = recordsOf(chunk);
  await loadAround({
    rows: chunk.rows,
    first: poison,
    load: part,
    async refused(index, error) {
      refused.set(index, await rejectOf(work, chunk, index, error));
      if (work.limit.exceeded(read, chunk.rejects.length + refused.size))
        throw new TooManyRefused([...refused.values()]);
    },
  });
  return { arrived, refused };
}

/** What the database said about a row, as a letter. Its texts quote the record, and are sealed like it. */
async function rejectOf(work: Work, chunk: Chunk, row: number, error: unknown): Promise<Reject> {
  const { code, message, detail, column, constraint } = error as Partial<Record<string, string>>;
  const offset = chunk.offsets[row]!;
  const length = chunk.lengths[row]!;
  const bytes = Buffer.from(await work.reader.raw(offset, length));
  const record = bytes.at(-1) === 0x0a ? bytes.subarray(0, -1) : bytes;
  return {
    offset,
    length,
    line: lineOf(work, chunk, row),
    raw: record.subarray(0, RAW_BYTES_MAX),
    rawWhole: record.byteLength <= RAW_BYTES_MAX,
    rawSha256: createHash('sha256').update(record).digest(),
    code: 'record_refused',
    violations: [
      {
        field: column ?? constraint ?? '',
        code: `pg_${String(code)}`,
        message: detail === undefined ? String(message) : `${String(message)} ${detail}`,
      },
    ],
  };
}

/** As the reader counted it, else as the row itself says; 0 where nobody knows. */
function lineOf({ target }: Work, chunk: Chunk, row: number): number {
  if (chunk.lineNumbers) return chunk.lineNumbers[row]!;
  const field = target?.columns.findIndex(({ name }) => name === 'line_no') ?? -1;
  return (field < 0 ? undefined : bigintField(chunk.tuples, startsOf(chunk)[row]!, field)) ?? 0;
}

/** A range that is in the ledger is done only if it is the very same range with the very same bytes. */
async function settleConflict(work: Work, client: pg.ClientBase, chunk: Chunk): Promise<undefined> {
  await rollback(client);
  if (await isCommitted(client, work.key, chunk, chunk.rawSha256)) return undefined;
  throw new CodedError(
    'ledger_conflict',
    `Bytes ${chunk.from} to ${chunk.to} of source ${work.key.sourceId} are in the ledger with another cut or other contents. Nothing was written; the plan is made again.`,
  );
}

/** Too many bad records: keeps a few as evidence, without rows or ledger, and stops the stage. */
async function stop(work: Work, lane: Lane, chunk: Chunk, bad: readonly Reject[]): Promise<never> {
  const sample = bad.slice(0, SAMPLE_LETTERS);
  if (work.limit.stopFirst()) await keepSample(work, lane, sample);
  const own = ownMistake(work.key, bad, { records: recordsOf(chunk), at: chunk.from, kept: sample.length });
  if (own) throw own;
  const mistake = commonPlace(bad);
  const run = shellWord(work.key.runKey);
  const anew = work.limit.sealed
    ? `To try again reads the same records; if whoever sent them has put them right: \`mendflow abort ${run} --reason "…"\`, then start it again. `
    : bad.length === recordsOf(chunk)
      ? 'Not one of them is good: if what reads them is wrong (the format, its pattern, a step), correct it where it is declared, deploy, then retry, which reads the same bytes again. '
      : `A retry reads the same bytes again. To load the good ones among them, raise quarantineShareMax of ${work.key.stage} in the pipeline, deploy, then retry. `;
  throw new CodedError(
    'quarantine_limit',
    `${work.limit.words(recordsOf(chunk), bad.length)} are bad, so ${work.key.stage} stopped at offset ${chunk.from}. What was committed before stays; of this chunk ${sample.length} letters were kept as a sample and nothing was loaded. ` +
      `${mistake ? `${mistakeNote(work.key.stage, mistake.place)} ` : ''}${anew}See what is wrong: \`mendflow letters list --run ${run}\``,
  );
}

async function keepSample(work: Work, { client, no }: Lane, sample: readonly Reject[]): Promise<void> {
  await client.query('begin isolation level read committed');
  try {
    await insertLetters(client, work.key, sample, { seal: work.seal, sample: true });
    await fence(client, work.lease, no);
  } catch (error) {
    await rollback(client);
    throw error;
  }
  await commit(client);
}
