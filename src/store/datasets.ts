// What lives here: statements about datasets, the records that are kept between the stages of a run.
// Invariant: a sealed dataset never changes; its parts are removed only when no open run and no pin needs them, or when its maker found them to be of no use and nothing pins them; its row then says so.
// Apart from the flow, which decides what goes into a dataset and when it is complete.
import type { Pool } from 'pg';
import type pg from 'pg';
import { type Db, inTransaction, withClient } from './db.ts';
import { ledgerStage } from './sources.ts';

/** Where a dataset was taken from. */
export type Origin = 'live' | 'snapshot' | 'backup';

/** Names the dataset of a stage in one generation of a run. */
export interface DatasetKey {
  readonly runKey: string;
  readonly generation: number;
  readonly stage: string;
  /** Which of several of that stage; empty for the only one. */
  readonly name: string;
}

export interface DatasetRow extends DatasetKey {
  readonly id: string;
  readonly pipeline: string;
  readonly schema: string;
  readonly state: 'building' | 'sealed' | 'gone';
  readonly sourceId: string | null;
  readonly passed: boolean;
  readonly derived: boolean;
  readonly records: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly asOf: Date;
  readonly origin: Origin;
  readonly goneAt: Date | null;
}

const columns = `d.id, d.run_key as "runKey", d.generation, d.stage, d.name, d.schema, d.state, d.source_id as "sourceId", d.passed, d.derived,
  coalesce(d.records, 0)::float8 as records, coalesce(d.bytes, 0)::float8 as bytes, encode(d.sha256, 'hex') as sha256, d.as_of as "asOf", d.origin, d.gone_at as "goneAt", r.pipeline`;

/** The dataset with that ID, whatever became of it. */
export async function findDataset(db: Db, id: string): Promise<DatasetRow | undefined> {
  const { rows } = await db.query<DatasetRow>(
    `select ${columns} from mendflow.dataset d join mendflow.run r on r.key = d.run_key where d.id = $1`,
    [id],
  );
  return rows[0];
}

/** The dataset of a stage that is building or sealed. */
export async function liveDataset(db: Db, key: DatasetKey): Promise<DatasetRow | undefined> {
  const { rows } = await db.query<DatasetRow>(
    `select ${columns} from mendflow.dataset d join mendflow.run r on r.key = d.run_key
     where d.run_key = $1 and d.generation = $2 and d.stage = $3 and d.name = $4 and d.state <> 'gone'`,
    [key.runKey, key.generation, key.stage, key.name],
  );
  return rows[0];
}

export interface NewDataset extends DatasetKey {
  readonly schema: string;
  readonly passed: boolean;
  readonly derived: boolean;
  readonly asOf: Date;
  readonly origin: Origin;
}

/** Begins a dataset, in the caller's transaction. */
export async function insertDataset(db: Db, one: NewDataset): Promise<string> {
  const { rows } = await db.query<{ id: string }>(
    `insert into mendflow.dataset (run_key, generation, stage, name, schema, passed, derived, as_of, origin)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id`,
    [one.runKey, one.generation, one.stage, one.name, one.schema, one.passed, one.derived, one.asOf, one.origin],
  );
  return rows[0]!.id;
}

/** Takes back what an attempt that did not come to its end has put into a dataset that is read in one go. */
export async function emptyDataset(db: Db, id: string, asOf: Date): Promise<void> {
  await db.query('delete from mendflow.dataset_part where dataset_id = $1', [id]);
  await db.query(`update mendflow.dataset set as_of = $2 where id = $1 and state = 'building'`, [id, asOf]);
}

/** Removes the records of a dataset, but for one that is pinned, and says in its row that it is not to be read, in the caller's transaction. */
export async function giveUpDataset(db: Db, id: string): Promise<void> {
  await db.query(
    'delete from mendflow.dataset_part where dataset_id = $1 and not exists (select from mendflow.dataset_pin where dataset_id = $1)',
    [id],
  );
  await db.query(`update mendflow.dataset set state = 'gone', gone_at = clock_timestamp() where id = $1`, [id]);
}

/** Forgets that a source was read for a dataset whose records are lost: the stage reads it again, and nothing of it is in any table. */
export async function forgetPassed(
  db: Db,
  key: Omit<DatasetKey, 'name'> & { readonly sourceId: string },
): Promise<void> {
  await db.query(
    `delete from mendflow.chunk where run_key = $1 and generation = $2 and stage = $3 and source_id = $4 and loaded = 0`,
    [key.runKey, key.generation, ledgerStage(key.stage), key.sourceId],
  );
}

/** One part: whole lines, packed. */
export interface Part {
  readonly at: number;
  readonly piece: number;
  readonly records: number;
  readonly bytes: number;
  readonly sha256: Buffer;
  readonly body: Buffer;
}

export async function insertPart(db: Db, id: string, part: Part): Promise<void> {
  await db.query(
    `insert into mendflow.dataset_part (dataset_id, at, piece, records, bytes, sha256, body) values ($1, $2, $3, $4, $5, $6, $7)`,
    [id, part.at, part.piece, part.records, part.bytes, part.sha256, part.body],
  );
}

/** Bytes in a dataset so far, unpacked. The parts themselves are not touched. */
export async function bytesIn(db: Db, id: string): Promise<number> {
  const { rows } = await db.query<{ bytes: number }>(
    'select coalesce(sum(bytes), 0)::float8 as bytes from mendflow.dataset_part where dataset_id = $1',
    [id],
  );
  return rows[0]!.bytes;
}

/** A part without its body, and where it begins in the dataset. */
export interface PartPlace {
  readonly at: string;
  readonly piece: number;
  readonly records: number;
  readonly bytes: number;
  readonly firstByte: number;
  readonly firstRecord: number;
}

/** The parts in their order. */
export async function partsOf(db: Db, id: string): Promise<PartPlace[]> {
  const { rows } = await db.query<Omit<PartPlace, 'firstByte' | 'firstRecord'>>(
    'select at, piece, records, bytes from mendflow.dataset_part where dataset_id = $1 order by at, piece',
    [id],
  );
  let firstByte = 0;
  let firstRecord = 0;
  return rows.map((part) => {
    const place = { ...part, firstByte, firstRecord };
    firstByte += part.bytes;
    firstRecord += part.records;
    return place;
  });
}

/** The body of a part and the hash it was stored with; undefined if it is not there any more. */
export async function readPart(
  db: Db,
  id: string,
  part: Pick<PartPlace, 'at' | 'piece'>,
): Promise<{ body: Buffer; sha256: Buffer } | undefined> {
  const { rows } = await db.query<{ body: Buffer; sha256: Buffer }>(
    'select body, sha256 from mendflow.dataset_part where dataset_id = $1 and at = $2 and piece = $3',
    [id, part.at, part.piece],
  );
  return rows[0];
}

export interface Seal {
  readonly sourceId: string;
  readonly records: number;
  readonly bytes: number;
  readonly sha256: Buffer;
  readonly proof?: Readonly<Record<string, unknown>>;
}

/** Completes a dataset, in a transaction that ends with the fence. */
export async function sealDataset(db: Db, id: string, seal: Seal): Promise<void> {
  await db.query(
    `update mendflow.dataset set state = 'sealed', source_id = $2, records = $3, bytes = $4, sha256 = $5, proof = $6, sealed_at = clock_timestamp()
     where id = $1 and state = 'building'`,
    [id, seal.sourceId, seal.records, seal.bytes, seal.sha256, seal.proof ? JSON.stringify(seal.proof) : null],
  );
}

/**
 * The source that a dataset is read as. The same bytes are the same source, so a letter about a record stays one letter however often the
 * record is fetched; other bytes are the next version, and what was known about records of the earlier ones is not current any more.
 */
export async function datasetSourceId(
  client: pg.ClientBase,
  of: { readonly pipeline: string; readonly name: string; readonly runKey: string; readonly generation: number },
  sha256: Buffer,
): Promise<string> {
  const name = Buffer.from(of.name);
  const { rows } = await client.query<{ id: string; version: number; same: boolean }>(
    `select id, version, hint ->> 'sha256' = $3 as same from mendflow.source where pipeline = $1 and name = $2 order by version desc`,
    [of.pipeline, name, sha256.toString('hex')],
  );
  const found = rows.find(({ same }) => same);
  const others = rows.filter((row) => row !== found).map(({ id }) => id);
  const id =
    found?.id ??
    (
      await client.query<{ id: string }>(
        'insert into mendflow.source (pipeline, name, version, hint) values ($1, $2, $3, $4) returning id',
        [of.pipeline, name, (rows[0]?.version ?? 0) + 1, JSON.stringify({ sha256: sha256.toString('hex') })],
      )
    ).rows[0]!.id;
  if (others.length > 0) await forgetVersions(client, others, of);
  return id;
}

/** Sources of the same dataset of the same run with other bytes. */
export async function otherVersions(db: Db, sourceId: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select other.id from mendflow.source own join mendflow.source other on other.pipeline = own.pipeline and other.name = own.name
     where own.id = $1 and other.id <> own.id order by other.id`,
    [sourceId],
  );
  return rows.map(({ id }) => id);
}

/** What this generation read of bytes that were fetched again and are others now: they are accounted for anew, and only once. */
async function forgetVersions(
  db: Db,
  others: readonly string[],
  of: { readonly runKey: string; readonly generation: number },
): Promise<void> {
  for (const table of ['chunk', 'slice', 'strike'])
    await db.query(`delete from mendflow.${table} where source_id = any ($1) and run_key = $2 and generation = $3`, [
      others,
      of.runKey,
      of.generation,
    ]);
  await db.query(
    `update mendflow.dead_letter set state = 'superseded' where source_id = any ($1) and run_key = $2 and state = 'open'`,
    [others, of.runKey],
  );
}

/** Records of that stage and dataset for the dates nearest to the given one, of runs that are done; dates whose loss somebody accepted do not count. */
export async function volumesNear(
  db: Db,
  at: { readonly pipeline: string; readonly stage: string; readonly name: string; readonly dataDate: string },
  limit: number,
): Promise<number[]> {
  const { rows } = await db.query<{ records: number }>(
    `select d.records::float8 as records from mendflow.dataset d join mendflow.run r on r.key = d.run_key and r.generation = d.generation
     where r.pipeline = $1 and r.state in ('done', 'degraded') and d.stage = $2 and d.name = $3 and r.data_date <> $4
       and r.data_date ~ '^\\d{4}-\\d\\d-\\d\\d$' and d.sealed_at is not null and d.origin = 'live' and not coalesce(d.proof ? 'accepted', false)
     order by abs(r.data_date::date - $4::date), r.data_date limit $5`,
    [at.pipeline, at.stage, at.name, at.dataDate, limit],
  );
  return rows.map(({ records }) => records);
}

/** Kept so long after their run has closed, for whoever wants to see what a stage made. */
export const DATASETS_KEPT_MS = 7 * 86_400_000;

/**
 * Removes the records of datasets that nobody needs: their run is closed, or in a later generation, for `keptMs`, and nothing pins them.
 * One dataset a transaction, at most `limit` of them; several may collect at once. Returns how many it removed.
 */
export async function collectDatasets(pool: Pool, limit: number, keptMs: number = DATASETS_KEPT_MS): Promise<number> {
  return await withClient(pool, async (client) => {
    for (let collected = 0; collected < limit; collected++)
      if (!(await inTransaction(client, () => collectOne(client, keptMs)))) return collected;
    return limit;
  });
}

async function collectOne(db: Db, keptMs: number): Promise<boolean> {
  const { rows } = await db.query<{ id: string }>(
    `select d.id from mendflow.dataset d join mendflow.run r on r.key = d.run_key
     where d.state <> 'gone' and d.created_at < clock_timestamp() - $1 * interval '1 millisecond'
       and (d.generation < r.generation
         or (r.state not in ('running', 'parked', 'asking') and r.closed_at < clock_timestamp() - $1 * interval '1 millisecond'))
       and not exists (select from mendflow.dataset_pin p where p.dataset_id = d.id)
     order by d.created_at limit 1 for update of d skip locked`,
    [keptMs],
  );
  const id = rows[0]?.id;
  if (id === undefined) return false;
  await giveUpDataset(db, id);
  return true;
}
