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
import { withoutWriters } from './lease.ts';
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

/** What of a range no chunk of this generation covers yet, in order. Read it only while holding the lease. */
export async function uncovered(db: Db, key: LedgerKey, within: Range): Promise<Range[]> {
  if (within.from >= within.to) return [];
  const { rows } = await db.query<{ from: string; to: string }>(
    `select lower(r) as from, upper(r) as to from (
       select unnest(int8multirange(int8range($4, $5)) - coalesce((
         select range_agg(extent) from mendflow.chunk
         where source_id = $1 and stage = $2 and generation = $3 and extent && int8range($4, $5)), '{}'::int8multirange)) as r) holes order by 1`,
    [key.sourceId, ledgerStage(key.stage), key.generation, within.from, within.to],
  );
  return rows.map(({ from, to }) => ({ from: Number(from), to: Number(to) }));
}

/** First statement of a chunk's transaction. False if some of the range is in the ledger already; the transaction then has nothing to add. */
export async function insertChunk(client: pg.ClientBase, key: LedgerKey, row: LedgerRow): Promise<boolean> {
  const { rowCount } = await client.query({
    name: 'mf_ledger',
    text: `insert into mendflow.chunk (source_id, stage, generation, extent, run_key, epoch, first_line,
             read, loaded, duplicate, quarantined, skipped, rows_out, raw_sha256, rows_sha256, reason, passed)
           values ($1, $2, $3, int8range($4, $5), $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) on conflict do nothing`,
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
     where source_id = $1 and stage = $2 and generation = $3 and lower(extent) = $4 and extent && int8range($4, $4 + 1)`,
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
    ],
  );
}

/** Whether the ledger holds exactly this range with exactly these bytes: then, and only then, a conflict means "done already". */
export async function isCommitted(db: Db, key: LedgerKey, range: Range, rawSha256: Uint8Array): Promise<boolean> {
  const { rows } = await db.query(
    `select from mendflow.chunk where source_id = $1 and stage = $2 and generation = $3 and extent = int8range($4, $5) and raw_sha256 = $6`,
    [key.sourceId, ledgerStage(key.stage), key.generation, range.from, range.to, Buffer.from(rawSha256)],
  );
  return rows.length === 1;
}

/** Accounts ranges that will not be read as skipped. How many records they hold is unknown, and the row says so. */
export async function giveUp(
  db: Db,
  key: LedgerKey,
  ranges: readonly Range[],
  epoch: string,
  reason: string,
): Promise<void> {
  await db.query(
    `insert into mendflow.chunk (source_id, stage, generation, extent, run_key, epoch, read, loaded, duplicate, quarantined, skipped, rows_out, counted, reason)
     select $1, $2, $3, int8range(f, t), $6, $7, 0, 0, 0, 0, 0, 0, false, $8 from unnest($4::bigint[], $5::bigint[]) as r(f, t)`,
    [
      key.sourceId,
      ledgerStage(key.stage),
      key.generation,
      ranges.map(({ from }) => from),
      ranges.map(({ to }) => to),
      key.runKey,
      epoch,
      reason,
    ],
  );
}

/** Whether no stage of this generation gave anything up, set anything aside or accepted less than there should be. */
export async function wasReadWhole(
  db: Db,
  { runKey, generation }: Pick<LedgerKey, 'runKey' | 'generation'>,
): Promise<boolean> {
  const { rows } = await db.query<{ all: boolean }>(
    `select not exists (select from mendflow.chunk where run_key = $1 and generation = $2 and (not counted or quarantined > 0))
       and not exists (select from mendflow.dataset where run_key = $1 and generation = $2 and state <> 'gone' and proof ? 'accepted') as all`,
    [runKey, generation],
  );
  return rows[0]!.all;
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

/**
 * Closes a run if it balances: no stage can commit afterwards, and the balance is kept. Closing twice is closing once.
 * An unbalanced run stays open, its writers may go on, and `faults` says what does not add up. Fails with `lease_held` if a writer cannot be ended.
 */
export const closeRun = (pool: Pool, runKey: string): Promise<Balance> =>
  withClient(pool, (client) => {
    hit('run.beforeClose');
    return withoutWriters(client, runKey, async () => {
      const closed = await alreadyClosed(client, runKey);
      if (closed) return { keep: false, value: closed };
      await supersedeSamples(client, runKey);
      const value = await balance(client, runKey);
      if (!value.balanced) return { keep: false, value };
      await writeClosed(client, runKey, 'done', value);
      hit('run.close');
      return { keep: true, value };
    });
  });

/** Why and by whom a run is given up. */
export interface Abort {
  readonly state: 'aborted' | 'failed';
  readonly actor: string;
  readonly reason: string;
}

/** Ends a run early: what is committed stays, and the rest of every planned slice is accounted as skipped, with who, why and from where. */
export const abortRun = (pool: Pool, runKey: string, abort: Abort): Promise<Balance> =>
  withClient(pool, (client) =>
    withoutWriters(client, runKey, async () => {
      const closed = await alreadyClosed(client, runKey);
      if (closed) return { keep: false, value: closed };
      for (const slice of await openSlices(client, runKey)) {
        const rest = await uncovered(client, slice, slice);
        const from = rest[0]?.from;
        const reason = `${abort.state} by ${abort.actor}, from offset ${from}: ${abort.reason}`.replaceAll('\0', '');
        if (rest.length > 0) await giveUp(client, slice, rest, '0', reason);
      }
      const value = await balance(client, runKey);
      await writeClosed(client, runKey, abort.state, value);
      hit('run.close');
      return { keep: true, value };
    }),
  );

async function alreadyClosed(db: Db, runKey: string): Promise<Balance | undefined> {
  const { rows } = await db.query<{ closed: { balance?: Balance } | null }>(
    `select closed from mendflow.run where key = $1 and state in ('done', 'degraded', 'aborted', 'failed')`,
    [runKey],
  );
  return rows[0] && (rows[0].closed?.balance ?? (await balance(db, runKey)));
}

async function writeClosed(db: Db, runKey: string, state: string, value: Balance): Promise<void> {
  const { read, loaded, duplicate, quarantined, skipped } = value;
  const totals = { read, loaded, duplicate, quarantined, skipped };
  await db.query('update mendflow.run set state = $2, closed_at = clock_timestamp(), closed = $3 where key = $1', [
    runKey,
    state,
    JSON.stringify({ totals, balance: value }),
  ]);
}

async function openSlices(db: Db, runKey: string): Promise<(LedgerKey & Range)[]> {
  const { rows } = await db.query<{ stage: string; generation: number; sourceId: string; from: string; to: string }>(
    `select s.stage, s.generation, s.source_id as "sourceId", lower(extent) as from, upper(extent) as to
     from mendflow.slice s join mendflow.run r on r.key = s.run_key and r.generation = s.generation
     where s.run_key = $1 and not isempty(extent)`,
    [runKey],
  );
  return rows.map(({ from, to, ...key }) => ({ ...key, runKey, from: Number(from), to: Number(to) }));
}
