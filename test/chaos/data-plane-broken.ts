// What lives here: four loaders that people really write, each with one classic mistake.
// Invariant: every one of them is right as long as nothing fails; that is why they get written.
// Apart because they prove that the checker convicts: the tests of the real loader are worth what these are worth.
import { existsSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { openPool } from '../../src/store/db.ts';
import { hit } from '../../src/store/failpoint.ts';
import { json } from '../../src/flow/index.ts';
import type { OpenedRecords, SourceRecord } from '../../src/flow/record-reader.ts';
import { RECORDS_PER_CHUNK } from './data-plane-source.ts';
import type { Orders } from './data-plane-loader.ts';

type Pool = ReturnType<typeof openPool>;
type Loader = (orders: Orders, opened: OpenedRecords, pool: Pool) => Promise<void>;

interface Batch {
  readonly no: number;
  readonly from: number;
  readonly to: number;
  readonly records: readonly SourceRecord[];
}

async function* batches(orders: Orders, opened: OpenedRecords, from: number): AsyncGenerator<Batch> {
  const size = orders.recordsMax ?? RECORDS_PER_CHUNK;
  let records: SourceRecord[] = [];
  let no = 0;
  const batch = (): Batch => {
    const last = records.at(-1)!;
    return { no: no++, from: records[0]!.offset, to: last.offset + last.length, records };
  };
  for await (const record of opened.records({ from, to: opened.slice.to }, new AbortController().signal)) {
    records.push(record);
    if (records.length < size) continue;
    yield batch();
    records = [];
  }
  if (records.length > 0) yield batch();
}

/** Good rows only; what these loaders do with bad ones is not the point. */
async function insertRows(client: pg.PoolClient, sourceId: string, batch: Batch): Promise<void> {
  const rows = batch.records.flatMap(({ offset, value, skip }) => {
    if (skip || String(value).endsWith(':')) return [];
    const { id, note } = json(String(value)) as { id: number; note: string };
    return note === 'bad' ? [] : [{ offset, id, note }];
  });
  await client.query('insert into rows_plain select $1, * from unnest($2::bigint[], $3::bigint[], $4::text[])', [
    sourceId,
    rows.map((row) => row.offset),
    rows.map((row) => row.id),
    rows.map((row) => row.note),
  ]);
}

const progress = async (client: pg.PoolClient, sourceId: string): Promise<number> =>
  Number(
    (await client.query<{ upto: string }>('select upto from progress where source_id = $1', [sourceId])).rows[0]
      ?.upto ?? 0,
  );

const advance = (client: pg.PoolClient, sourceId: string, upto: number): Promise<unknown> =>
  client.query(
    'insert into progress values ($1, $2) on conflict (source_id) do update set upto = greatest(progress.upto, excluded.upto)',
    [sourceId, upto],
  );

const waited = async (file: string | undefined): Promise<void> => {
  if (file !== undefined) writeFileSync(`${file}.waiting`, '');
  const deadline = Date.now() + 10_000;
  const missing = (): boolean => file !== undefined && !existsSync(file);
  while (missing() && Date.now() < deadline) await sleep(25);
};

/** The rows are committed, and then the checkpoint. */
const commitThenCheckpoint: Loader = async (orders, opened, pool) => {
  const client = await pool.connect();
  for await (const batch of batches(orders, opened, await progress(client, opened.sourceId))) {
    await client.query('begin');
    await insertRows(client, opened.sourceId, batch);
    await client.query('commit');
    hit('chunk.afterCommit');
    await advance(client, opened.sourceId, batch.to);
  }
  client.release();
};

/** Rows and checkpoint in one transaction, but nobody asks whether another attempt has taken over. */
const noFence: Loader = async (orders, opened, pool) => {
  const client = await pool.connect();
  for await (const batch of batches(orders, opened, await progress(client, opened.sourceId))) {
    hit('chunk.afterCommit');
    await client.query('begin');
    await insertRows(client, opened.sourceId, batch);
    await advance(client, opened.sourceId, batch.to);
    await client.query('commit');
  }
  client.release();
};

/** Committed chunks are remembered by number, and the next attempt has smaller chunks. */
const chunkNumbers: Loader = async (orders, opened, pool) => {
  const client = await pool.connect();
  for await (const batch of batches(orders, opened, 0)) {
    await client.query('begin');
    const { rowCount } = await client.query('insert into chunk_number values ($1, $2) on conflict do nothing', [
      opened.sourceId,
      batch.no,
    ]);
    if (rowCount === 1) await insertRows(client, opened.sourceId, batch);
    await client.query('commit');
    hit('chunk.afterCommit');
  }
  client.release();
};

/** The checkpoint is read first, and then the lease is taken: what is still being committed in between is loaded again. */
const ledgerBeforeLease: Loader = async (orders, opened, pool) => {
  const client = await pool.connect();
  const from = await progress(client, opened.sourceId);
  await waited(orders.waitFor);
  await client.query(
    `insert into mendflow.lease values ('broken', 's', 0, 0, gen_random_uuid(), now(), 'x') on conflict do nothing`,
  );
  const { rows } = await client.query<{ epoch: string; token: string }>(
    `update mendflow.lease set epoch = epoch + 1, token = gen_random_uuid() where run_key = 'broken' returning epoch, token`,
  );
  for await (const batch of batches(orders, opened, from)) {
    await client.query('begin');
    await insertRows(client, opened.sourceId, batch);
    await advance(client, opened.sourceId, batch.to);
    await client.query(`select mendflow.fence('broken', 's', 0::smallint, $1::bigint, $2::uuid)`, [
      rows[0]!.epoch,
      rows[0]!.token,
    ]);
    await client.query('commit');
  }
  client.release();
};

export const brokenLoaders = { commitThenCheckpoint, noFence, chunkNumbers, ledgerBeforeLease };
