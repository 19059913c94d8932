// What lives here: the ledger of ranges: what is still to be read, what a chunk accounts for, and the end of a run.
// Invariant: a range enters the ledger once, in the transaction of its rows; a closed run takes no further chunk.
// Apart because the ledger, not history or heartbeat, is the checkpoint.
import type { Pool } from 'pg';
import type pg from 'pg';
import type { Bins } from '../flow/context.ts';
import type { Range } from '../flow/types.ts';
import { type Balance, balance } from './balance.ts';
import { type Db, withClient } from './db.ts';
import { hit } from './failpoint.ts';
import {
  type Closer,
  isItsOwn,
  nothing,
  ownedRow,
  type OwnedRow,
  refuseUnwanted,
  takenOver,
  writersOf,
} from './closer.ts';
import { late, withoutWriters } from './lease.ts';
import { settleLeft } from './left.ts';
import { type Limits, verdictOnRecords } from './judge.ts';
import { supersedeSamples } from './letters.ts';
import { ledgerStage } from './sources.ts';

/** What a chunk row is about, the same for all chunks of a flow. */
export interface LedgerKey {
  readonly runKey: string;
  readonly generation: number;
  readonly stage: string;
  readonly sourceId: string;
}

/** One chunk as it is accounted for. */
export interface LedgerRow extends Range, Bins {
  readonly epoch: string;
  readonly firstLine: number;
  readonly rowsOut: number;
  /** Handed on to a later stage. */
  readonly passed?: number;
  readonly rawSha256: Uint8Array;
  readonly rowsSha256: Uint8Array;
  readonly reason?: string;
}

/** What of a range this generation has yet to read, in order. Read it only while holding the lease. */
export async function uncovered(db: Db, key: LedgerKey, within: Range): Promise<Range[]> {
  if (within.from >= within.to) return [];
  const { rows } = await db.query<{ from: string; to: string }>(
    `select lower(r) as from, upper(r) as to from (
       select unnest(int8multirange(int8range($5, $6)) - mendflow.covered($1, $2, $3, $4, int8range($5, $6))) as r) holes order by 1`,
    [key.runKey, key.generation, ledgerStage(key.stage), key.sourceId, within.from, within.to],
  );
  return rows.map(({ from, to }) => ({ from: Number(from), to: Number(to) }));
}

/** First statement of a chunk's transaction. False if some of the range is in the ledger already, of whichever run; the transaction then has nothing to add. */
export async function insertChunk(client: pg.ClientBase, key: LedgerKey, row: LedgerRow): Promise<boolean> {
  const { rowCount } = await client.query({
    name: 'mf_ledger',
    text: `insert into mendflow.chunk (source_id, stage, generation, extent, run_key, epoch, first_line,
             read, loaded, duplicate, quarantined, skipped, rows_out, raw_sha256, rows_sha256, reason, passed)
           select $1, $2, $3, int8range($4, $5), $6, $7::bigint, $8::bigint, $9::int, $10::int, $11::int, $12::int, $13::int, $14::int, $15, $16, $17, $18::int
           where mendflow.claim($6, $3, $2, $1, int8range($4, $5)) on conflict do nothing`,
    values: [
      key.sourceId,
      ledgerStage(key.stage),
      key.generation,
      row.from,
      row.to,
      key.runKey,
      row.epoch,
      row.firstLine,
      row.read,
      row.loaded,
      row.duplicate,
      row.quarantined,
      row.skipped,
      row.rowsOut,
      row.rawSha256,
      row.rowsSha256,
      row.reason ?? null,
      row.passed ?? 0,
    ],
  });
  return rowCount === 1;
}

/** Corrects the bins of a chunk inserted in this transaction, once the database has said which rows it refused or had already. */
export async function correctChunk(
  client: pg.ClientBase,
  key: LedgerKey,
  at: number,
  bins: Bins,
  rowsOut: number,
): Promise<void> {
  await client.query(
    `update mendflow.chunk set read = $5, loaded = $6, duplicate = $7, quarantined = $8, skipped = $9, rows_out = $10
     where source_id = $1 and stage = $2 and generation = $3 and run_key = $11 and lower(extent) = $4 and extent && int8range($4, $4 + 1)`,
    [
      key.sourceId,
      ledgerStage(key.stage),
      key.generation,
      at,
      bins.read,
      bins.loaded,
      bins.duplicate,
      bins.quarantined,
      bins.skipped,
      rowsOut,
      key.runKey,
    ],
  );
}

/** Whether the ledger holds exactly this range with exactly these bytes: then, and only then, a conflict means "done already". */
export async function isCommitted(db: Db, key: LedgerKey, range: Range, rawSha256: Uint8Array): Promise<boolean> {
  const { rows } = await db.query(
    `select from mendflow.chunk where source_id = $1 and stage = $2 and generation = $3 and extent = int8range($4, $5) and raw_sha256 = $6
     and (run_key = $7 or generation = 1)`,
    [key.sourceId, ledgerStage(key.stage), key.generation, range.from, range.to, Buffer.from(rawSha256), key.runKey],
  );
  return rows.length === 1;
}

/** What is given up, by whom and why. */
export interface GivenUp {
  readonly epoch: string;
  readonly reason: string;
  /** How many records all the ranges hold, where that is known; else the rows say that it is not. */
  readonly records?: number | undefined;
  /** Only this run gives it up, because it ends early: a later one may read it. */
  readonly leftOpen?: boolean;
}

/** Gives up ranges that will not be read: counted in bytes, and as skipped records where their number is known. */
export async function giveUp(
  db: Db,
  key: LedgerKey,
  ranges: readonly Range[],
  { epoch, reason, records, leftOpen = false }: GivenUp,
): Promise<void> {
  // Records are known for all ranges together, so the first one accounts for all of them.
  await db.query(
    `insert into mendflow.chunk (source_id, stage, generation, extent, run_key, epoch, read, loaded, duplicate, quarantined, skipped, rows_out, counted, reason, lost, left_open)
     select $1, $2, $3, int8range(f, t), $6, $7, held, 0, 0, 0, held, 0, $9::int is not null, $8, held, $10
     from unnest($4::bigint[], $5::bigint[]) with ordinality as r(f, t, n) cross join lateral (select case when n = 1 then coalesce($9::int, 0) else 0 end as held) h`,
    [
      key.sourceId,
      ledgerStage(key.stage),
      key.generation,
      ranges.map(({ from }) => from),
      ranges.map(({ to }) => to),
      key.runKey,
      epoch,
      reason,
      records ?? null,
      leftOpen,
    ],
  );
}

/** Somebody accepted that rows of a chunk which were there before are gone; the chunk is in this transaction, or the last one of its source. */
export async function writeLost(db: Db, key: LedgerKey, rows: number, reason: string, at?: number): Promise<void> {
  await db.query(
    `update mendflow.chunk set lost = lost + $5, reason = $6 where source_id = $1 and stage = $2 and generation = $3 and run_key = $4
       and lower(extent) = coalesce($7, (select max(lower(extent)) from mendflow.chunk where source_id = $1 and stage = $2 and generation = $3 and run_key = $4))`,
    [key.sourceId, ledgerStage(key.stage), key.generation, key.runKey, rows, reason, at ?? null],
  );
}

/** Undoes what a generation of a run committed of a source: chunks, letters and rows by position. The plan stays. Returns how many records that were. */
export async function takeBack(
  client: pg.ClientBase,
  key: LedgerKey,
  target: { readonly sql: string; readonly byKey?: unknown },
): Promise<number> {
  const mine = 'source_id = $1 and stage = $2 and generation = $3 and run_key = $4';
  const of = [key.sourceId, ledgerStage(key.stage), key.generation, key.runKey];
  if (target.byKey === undefined)
    await client.query(
      `delete from ${target.sql} t using mendflow.chunk c where c.source_id = $1 and c.stage = $2 and c.generation = $3 and c.run_key = $4
       and t.source_id = c.source_id and t."offset" >= lower(c.extent) and t."offset" < upper(c.extent)`,
      of,
    );
  await client.query(`update mendflow.dead_letter set state = 'superseded' where ${mine}`, of);
  await client.query(`delete from mendflow.strike where ${mine}`, of);
  const { rows } = await client.query<{ read: number }>(
    `with gone as (delete from mendflow.chunk where ${mine} returning read) select coalesce(sum(read), 0)::float8 as read from gone`,
    of,
  );
  return rows[0]!.read;
}

/** Whether no stage of this generation gave anything up, set anything aside or accepted less than there should be. */
export async function wasReadWhole(
  db: Db,
  { runKey, generation }: Pick<LedgerKey, 'runKey' | 'generation'>,
): Promise<boolean> {
  const { rows } = await db.query<{ all: boolean }>(
    `select not exists (select from mendflow.chunk where run_key = $1 and generation = $2 and (not counted or quarantined > 0 or (lost > 0 and skipped > 0)))
       and not exists (select from mendflow.dataset where run_key = $1 and generation = $2 and state <> 'gone' and proof ? 'accepted') as all`,
    [runKey, generation],
  );
  return rows[0]!.all;
}

/** Rows that a stage has made in this generation, and in the latest before it that made any. */
export async function rowsMade(db: Db, key: Omit<LedgerKey, 'sourceId'>): Promise<{ before: number; after: number }> {
  const { rows } = await db.query<{ generation: number; made: number }>(
    `select generation, sum(loaded + duplicate)::float8 as made from mendflow.chunk
     where run_key = $1 and stage = $2 and generation <= $3 group by 1 having sum(loaded + duplicate) > 0 order by 1 desc`,
    [key.runKey, ledgerStage(key.stage), key.generation],
  );
  const after = rows.find(({ generation }) => generation === key.generation)?.made ?? 0;
  return { before: rows.find(({ generation }) => generation < key.generation)?.made ?? 0, after };
}

/** Other runs that made rows of a range, the most first, and how many of its records they set aside. */
export async function madeByOthers(db: Db, key: LedgerKey, range: Range): Promise<{ runKey: string; bad: number }[]> {
  const { rows } = await db.query<{ runKey: string; bad: number }>(
    `select run_key as "runKey", sum(quarantined + skipped)::float8 as bad from mendflow.chunk
     where source_id = $1 and stage = $2 and run_key <> $3 and extent && int8range($4, $5)
     group by 1 having sum(loaded + duplicate + passed) > 0 order by sum(loaded + duplicate + passed) desc, 1`,
    [key.sourceId, ledgerStage(key.stage), key.runKey, range.from, range.to],
  );
  return rows;
}

/** Bins of one source in one generation of a run, from the ledger. */
export async function binsOf(db: Db, key: LedgerKey): Promise<Bins> {
  const { rows } = await db.query<Record<keyof Bins, number>>(
    `select coalesce(sum(read), 0)::float8 as read, coalesce(sum(loaded), 0)::float8 as loaded, coalesce(sum(duplicate), 0)::float8 as duplicate,
       coalesce(sum(quarantined), 0)::float8 as quarantined, coalesce(sum(skipped), 0)::float8 as skipped
     from mendflow.chunk where source_id = $1 and stage = $2 and generation = $3 and run_key = $4`,
    [key.sourceId, ledgerStage(key.stage), key.generation, key.runKey],
  );
  return rows[0]!;
}

/** What its workflow knows of a run that is to be closed. */
export interface Closing {
  /** Share of bad records that each stage allows. Without it nothing is judged. */
  readonly limits?: Limits;
  /** Somebody said that the run is to be closed with all its bad records. */
  readonly acceptLoss?: { readonly actor: string; readonly reason: string } | undefined;
  /** A loss was accepted in one of its stages, be it counted or not. */
  readonly lossAccepted?: boolean | undefined;
  readonly by?: Closer;
}

/** The balance of a run that was closed, or why it was not. */
export interface ClosedBalance extends Balance {
  /** `degraded`: somebody accepted that something of it is lost. */
  readonly state: 'done' | 'degraded' | 'aborted' | 'failed' | 'open';
  /** Sentences that say what is wrong with its records, where it adds up and stays open all the same. */
  readonly notGreen: readonly string[];
}

/**
 * Closes a run if it balances and is green: no stage can commit afterwards, and the balance is kept. Closing twice is closing once.
 * Any other run stays open, its writers may go on, and `faults` or `notGreen` say why. Fails with `lease_held` if a writer cannot be ended,
 * and with `fenced` if the run is not this closer's any more.
 */
export const closeRun = (pool: Pool, runKey: string, closing: Closing = {}): Promise<ClosedBalance> =>
  withClient(pool, (client) => {
    hit('run.beforeClose');
    return withoutWriters(client, runKey, {
      by: writersOf(closing.by),
      early: async () => {
        const row = await ownedRow(client, runKey);
        if (closing.by && !isItsOwn(row, closing.by)) throw late(runKey);
        return await asClosed(client, { runKey, row, by: closing.by });
      },
      body: () => closeRow(client, runKey, closing),
    });
  });

async function closeRow(
  client: pg.ClientBase,
  runKey: string,
  { limits, acceptLoss, lossAccepted = false }: Closing,
): Promise<{ keep: boolean; value: ClosedBalance }> {
  await supersedeSamples(client, runKey);
  const value = await balance(client, runKey);
  const open = { state: 'open', notGreen: [] } as const;
  if (!value.balanced) return { keep: false, value: { ...value, ...open } };
  const notGreen = limits ? await verdictOnRecords(client, runKey, limits) : [];
  if (notGreen.length > 0 && !acceptLoss) return { keep: false, value: { ...value, ...open, notGreen } };
  // Whoever accepts bad records loses them all: none of them is in any table.
  const lost = value.lost + (notGreen.length > 0 ? value.quarantined : 0);
  const isWhole = lost === 0 && value.uncountedBytes === 0 && !lossAccepted && !acceptLoss;
  const closed = { ...value, lost, state: isWhole ? 'done' : 'degraded', notGreen: [] } as const;
  await writeClosed(client, runKey, closed.state, closed);
  const left = await settleLeft(client, runKey);
  hit('run.close');
  return { keep: true, value: left ? { ...closed, state: 'degraded' } : closed };
}

/** Why and by whom a run is given up. */
export interface Abort {
  readonly state: 'aborted' | 'failed';
  readonly actor: string;
  readonly reason: string;
}

/**
 * Ends a run early: what is committed stays, and the rest of every planned slice is given up unread, with who, why and from where.
 * What the one who ends it has not opened, or somebody else has opened since, stays as it is: then there is nothing to account for.
 */
export const abortRun = (pool: Pool, runKey: string, abort: Abort, by?: Closer): Promise<ClosedBalance> =>
  withClient(pool, (client) =>
    withoutWriters(client, runKey, {
      by: writersOf(by),
      early: async () => {
        const row = await ownedRow(client, runKey);
        if (by && !isItsOwn(row, by))
          return {
            value: { ...(by.generation === undefined ? nothing : takenOver), state: abort.state, notGreen: [] },
          };
        return await asClosed(client, { runKey, row, by });
      },
      body: async () => {
        for (const slice of await openSlices(client, runKey)) {
          const rest = await uncovered(client, slice, slice);
          const from = rest[0]?.from;
          const reason = `${abort.state} by ${abort.actor}, from offset ${from}: ${abort.reason}`.replaceAll('\0', '');
          if (rest.length > 0) await giveUp(client, slice, rest, { epoch: '0', reason, leftOpen: true });
        }
        const value = { ...(await balance(client, runKey)), state: abort.state, notGreen: [] };
        await writeClosed(client, runKey, abort.state, value);
        await settleLeft(client, runKey);
        hit('run.close');
        return { keep: true, value };
      },
    }),
  );

/** A run that is closed is closed; an attempt that nobody waits for closes none. */
async function asClosed(
  client: pg.ClientBase,
  { runKey, row, by }: { runKey: string; row: OwnedRow | undefined; by: Closer | undefined },
): Promise<{ value: ClosedBalance } | undefined> {
  if (row && row.state !== 'running' && row.state !== 'parked' && row.state !== 'asking')
    return { value: { ...(row.closed?.balance ?? (await balance(client, runKey))), state: row.state, notGreen: [] } };
  await refuseUnwanted(runKey, by);
  return undefined;
}

async function writeClosed(db: Db, runKey: string, state: string, value: Balance): Promise<void> {
  const { read, loaded, duplicate, quarantined, skipped } = value;
  const totals = { read, loaded, duplicate, quarantined, skipped };
  await db.query(
    `update mendflow.run set state = $2, closed_at = clock_timestamp(), closed = $3,
       health = case $2 when 'done' then 'healthy' when 'degraded' then 'degraded' when 'aborted' then 'aborted' else health end where key = $1`,
    [runKey, state, JSON.stringify({ totals, balance: value })],
  );
  await endStages(db, runKey, state);
  await db.query('delete from mendflow.parked_run where run_key = $1', [runKey]);
  await db.query('delete from mendflow.ended_park where run_key = $1', [runKey]);
}

/** What was under way or waiting in the run ended with it; what closed it has done so. */
const endStages = (db: Db, runKey: string, state: string): Promise<unknown> =>
  db.query(
    `update mendflow.stage_run s set state = case when $2 in ('done', 'degraded') then 'done' else 'aborted' end, ended_at = clock_timestamp()
     from mendflow.run r where r.key = $1 and s.run_key = $1 and s.generation = r.generation and s.state in ('running', 'retrying', 'parked', 'asking')
       and ($2 not in ('done', 'degraded') or s.stage like 'mendflow:%')`,
    [runKey, state],
  );

async function openSlices(db: Db, runKey: string): Promise<(LedgerKey & Range)[]> {
  const { rows } = await db.query<{ stage: string; generation: number; sourceId: string; from: string; to: string }>(
    `select s.stage, s.generation, s.source_id as "sourceId", lower(extent) as from, upper(extent) as to
     from mendflow.slice s join mendflow.run r on r.key = s.run_key and r.generation = s.generation
     where s.run_key = $1 and not isempty(extent)`,
    [runKey],
  );
  return rows.map(({ from, to, ...key }) => ({ ...key, runKey, from: Number(from), to: Number(to) }));
}
