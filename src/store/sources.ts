// What lives here: sources and the slices of them that runs cover.
// Invariant: coverage belongs to the source: a byte that any run has planned or committed is never planned again in the same generation of it.
// Apart because finding out whether a file is the same file is its connector's business; keeping the answer is ours.
import type { Range } from '../flow/types.ts';
import { CodedError } from '../model/failure.ts';
import type { Db } from './db.ts';
import { late, refuseIfClosed } from './lease.ts';

/** A row of `mendflow.source`. The id is a decimal number, because a bigint may be more than a double holds. */
export interface Source {
  readonly id: string;
  readonly pipeline: string;
  /** Root-relative path without codec suffix, as bytes. */
  readonly name: Buffer;
  readonly version: number;
  readonly supersededBy: string | null;
  readonly hint: unknown;
}

const columns = `id, pipeline, name, version, superseded_by as "supersededBy", hint`;

/** All versions of a name, newest first. */
export async function findSources(db: Db, pipeline: string, name: Uint8Array): Promise<Source[]> {
  const { rows } = await db.query<Source>(
    `select ${columns} from mendflow.source where pipeline = $1 and name = $2 order by version desc`,
    [pipeline, Buffer.from(name)],
  );
  return rows;
}

/** The row of that version, inserted if it is new. Two callers at once get the same row. */
export async function insertSource(
  db: Db,
  source: { pipeline: string; name: Uint8Array; version?: number; hint?: unknown },
): Promise<Source> {
  const { pipeline, version = 1 } = source;
  const name = Buffer.from(source.name);
  await db.query(
    `insert into mendflow.source (pipeline, name, version, hint) values ($1, $2, $3, $4) on conflict do nothing`,
    [pipeline, name, version, source.hint === undefined ? null : JSON.stringify(source.hint)],
  );
  const { rows } = await db.query<Source>(
    `select ${columns} from mendflow.source where pipeline = $1 and name = $2 and version = $3`,
    [pipeline, name, version],
  );
  return rows[0]!;
}

/** Keeps what was last seen of a source (inode, size, times): a hint, never a proof. */
export const hintSource = (db: Db, id: string, hint: unknown): Promise<unknown> =>
  db.query('update mendflow.source set hint = $2 where id = $1', [id, JSON.stringify(hint)]);

interface Bounds {
  readonly from: string;
  readonly to: string;
}
const toRange = ({ from, to }: Bounds): Range => ({ from: Number(from), to: Number(to) });

/** Ranges of a source that any run in any generation has committed, joined where they touch, in order. */
export async function coveredRanges(db: Db, sourceId: string, stage: string): Promise<Range[]> {
  const { rows } = await db.query<Bounds>(
    `select lower(r) as from, upper(r) as to
     from (select unnest(range_agg(extent)) as r from mendflow.chunk where source_id = $1 and stage = $2) covered order by 1`,
    [sourceId, ledgerStage(stage)],
  );
  return rows.map(toRange);
}

/** As `coveredRanges`, with what runs have planned and not committed yet. A new slice begins after the last of these. */
export async function plannedRanges(db: Db, sourceId: string, stage: string): Promise<Range[]> {
  const { rows } = await db.query<Bounds>(
    `select lower(r) as from, upper(r) as to from (
       select unnest(range_agg(extent)) as r from (
         select extent from mendflow.chunk where source_id = $1 and stage = $2
         union all select extent from mendflow.slice where source_id = $1 and stage = $2 and not isempty(extent)) all_of_them) planned order by 1`,
    [sourceId, ledgerStage(stage)],
  );
  return rows.map(toRange);
}

/** A committed range with the hash of its bytes, to prove that a file still holds them. */
export interface Proof extends Range {
  readonly sourceId: string;
  readonly rawSha256: Buffer;
}

/** First and last committed chunk of a source that were really read; one if they are the same, none if nothing was. */
export async function edgeChunks(db: Db, sourceId: string, stage: string): Promise<Proof[]> {
  const { rows } = await db.query<Bounds & { raw: Buffer }>(
    `(select lower(extent) as from, upper(extent) as to, raw_sha256 as raw from mendflow.chunk
      where source_id = $1 and stage = $2 and raw_sha256 is not null order by lower(extent), generation desc limit 1)
     union (select lower(extent), upper(extent), raw_sha256 from mendflow.chunk
      where source_id = $1 and stage = $2 and raw_sha256 is not null order by lower(extent) desc, generation desc limit 1) order by 1`,
    [sourceId, ledgerStage(stage)],
  );
  return rows.map((row) => ({ sourceId, ...toRange(row), rawSha256: row.raw }));
}

/** First chunks of all sources of a pipeline that end at or before `size`, shorter ones first: candidates for "the same bytes under another name". */
export async function firstChunks(db: Db, pipeline: string, stage: string, size: number): Promise<Proof[]> {
  const { rows } = await db.query<Bounds & { sourceId: string; raw: Buffer }>(
    `select * from (
       select distinct on (c.source_id) c.source_id as "sourceId", lower(extent) as from, upper(extent) as to, raw_sha256 as raw
       from mendflow.chunk c join mendflow.source s on s.id = c.source_id
       where s.pipeline = $1 and c.stage = $2 and raw_sha256 is not null and lower(extent) = 0 and upper(extent) <= $3
       order by c.source_id, generation desc) firsts
     order by firsts.to`,
    [pipeline, ledgerStage(stage), size],
  );
  return rows.map((row) => ({ sourceId: row.sourceId, ...toRange(row), rawSha256: row.raw }));
}

/** The plan of one source in one run. An empty range (`from` = `to`) means that there was nothing new. */
export interface Slice extends Range {
  readonly sealed: boolean;
}

interface SliceKey {
  readonly runKey: string;
  readonly generation: number;
  readonly stage: string;
  readonly sourceId: string;
}

/** Stage as the ledger has it: `ingest[a.log]` covers its source as `ingest`, so that a renamed file is not loaded again. */
export const ledgerStage = (stage: string): string => stage.replace(/\[[^]*\]$/, '');

/** The slice a run has written for a source, if it has. */
export async function findSlice(db: Db, key: SliceKey): Promise<Slice | undefined> {
  const { rows } = await db.query<{ from: string | null; to: string | null; sealed: boolean }>(
    `select lower(extent) as from, upper(extent) as to, sealed from mendflow.slice
     where run_key = $1 and generation = $2 and stage = $3 and source_id = $4`,
    [key.runKey, key.generation, ledgerStage(key.stage), key.sourceId],
  );
  const row = rows[0];
  return row && { from: Number(row.from ?? 0), to: Number(row.to ?? 0), sealed: row.sealed };
}

/** What earlier generations of the run covered of a source, from the first byte to the last; none if it never did. */
export async function earlierSlice(db: Db, key: SliceKey): Promise<Slice | undefined> {
  const { rows } = await db.query<{ from: string | null; to: string | null; sealed: boolean | null }>(
    `select min(lower(extent)) as from, max(upper(extent)) as to, bool_or(sealed) as sealed from mendflow.slice
     where run_key = $1 and generation < $2 and stage = $3 and source_id = $4`,
    [key.runKey, key.generation, ledgerStage(key.stage), key.sourceId],
  );
  const { from, to, sealed } = rows[0]!;
  return from === null || to === null ? undefined : { from: Number(from), to: Number(to), sealed: sealed === true };
}

/**
 * Writes the plan, or returns the one that an earlier attempt wrote: the first one stands. A run that has ended or was opened anew gets none:
 * bytes would stay planned that nobody reads. Fails then as taking the lease does, and with `ledger_conflict` if another run planned some of the same bytes meanwhile; plan again from `plannedRanges`.
 */
export async function writeSlice(
  db: Db,
  key: SliceKey & { readonly execution?: string | undefined },
  slice: Slice,
): Promise<Slice> {
  try {
    await db.query(
      `insert into mendflow.slice (run_key, generation, stage, source_id, extent, sealed)
       select $1, $2, $3, $4::bigint, int8range($5, $6), $7 where mendflow.holds($1, $2, $8)
       on conflict (run_key, generation, stage, source_id) do nothing`,
      [
        key.runKey,
        key.generation,
        ledgerStage(key.stage),
        key.sourceId,
        slice.from,
        slice.to,
        slice.sealed,
        key.execution ?? null,
      ],
    );
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== '23P01') throw cause;
    throw new CodedError(
      'ledger_conflict',
      `Another run has planned some of the bytes ${slice.from} to ${slice.to} of source ${key.sourceId}. Nothing was written; the plan is made again.`,
      { cause },
    );
  }
  const planned = await findSlice(db, key);
  if (planned) return planned;
  await refuseIfClosed(db, key);
  throw late(key.runKey);
}
