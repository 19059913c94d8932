// What lives here: plans: which range of a source a run means to read, and what other runs have planned or committed of it.
// Invariant: a plan reserves nothing. Only the ledger of chunks says who loaded a byte; plans keep runs from getting in each other's way.
// Apart from sources, which are about files, and from the ledger, which is about what happened.
import type { Pool } from 'pg';
import type { Range } from '../flow/types.ts';
import { type Db, inTransaction, withClient } from './db.ts';
import { late, refuseIfClosed } from './lease.ts';
import { ledgerStage } from './sources.ts';

/** The plan of one source in one run. An empty range (`from` = `to`) means that there was nothing new. */
export interface Slice extends Range {
  readonly sealed: boolean;
}

export interface PlanKey {
  readonly runKey: string;
  readonly generation: number;
  /** With the name of the single call. */
  readonly stage: string;
  readonly sourceId: string;
  /** Of the run that plans; a run that was opened anew since takes no plan of an older one. */
  readonly execution?: string | undefined;
}

/** A plan with what is known about the file it was made for. */
export interface Plan extends Slice, PlanKey {
  /** Path under which the run reads it. */
  readonly place: Buffer | null;
  /** The state of the file when it was planned, as its connector wrote it down. */
  readonly seen: unknown;
  /** Whether the run has committed any of it. */
  readonly begun: boolean;
}

const planColumns = `s.run_key as "runKey", s.generation, s.stage, s.source_id as "sourceId", coalesce(lower(s.extent), 0)::float8 as from,
  coalesce(upper(s.extent), 0)::float8 as to, s.sealed, s.place, s.seen, exists (select from mendflow.chunk c where c.source_id = s.source_id
    and c.stage = s.stage and c.run_key = s.run_key and c.generation = s.generation) as begun`;

/** What this call of a stage has planned in this generation, oldest first. */
export async function plansOfCall(
  db: Db,
  { runKey, generation, stage }: Pick<PlanKey, 'runKey' | 'generation' | 'stage'>,
): Promise<Plan[]> {
  const { rows } = await db.query<Plan>(
    `select ${planColumns} from mendflow.slice s where s.run_key = $1 and s.generation = $2 and s.stage = $3 and s.call = $4 order by s.at, s.source_id`,
    [runKey, generation, ledgerStage(stage), stage],
  );
  return rows;
}

/** Plans of other runs, still open, that are not all committed. */
export async function otherPlans(db: Db, { runKey, stage, sourceId }: PlanKey): Promise<(Plan & { state: string })[]> {
  const { rows } = await db.query<Plan & { state: string }>(
    `select ${planColumns}, r.state from mendflow.slice s join mendflow.run r on r.key = s.run_key and r.generation = s.generation
     where s.source_id = $1 and s.stage = $2 and s.run_key <> $3 and not isempty(s.extent) and r.state in ('running', 'parked', 'asking')
       and not int8multirange(s.extent) <@ mendflow.covered(s.run_key, s.generation, s.stage, s.source_id, s.extent) order by lower(s.extent)`,
    [sourceId, ledgerStage(stage), runKey],
  );
  return rows;
}

/** Another run that accounts for some of a range. */
export interface Coverer {
  readonly runKey: string;
  readonly bytes: number;
  /** Whether any record of it is there by this run. One that only found duplicates, or bad records, has read it; one that gave it up has not even that. */
  readonly did: 'loaded' | 'read' | 'given up';
}

/** Which other runs committed how much of a range: those who loaded of it come first, most records before fewer, then who only read it, then who gave it up. */
export async function coverers(db: Db, { runKey, stage, sourceId }: PlanKey, within: Range): Promise<Coverer[]> {
  if (within.from >= within.to) return [];
  const { rows } = await db.query<Coverer>(
    `select run_key as "runKey", did, (select sum(upper(e) - lower(e)) from unnest(ranges) e)::float8 as bytes from (
       select run_key, did, range_agg(extent * int8range($4, $5)) as ranges, sum(arrived) as arrived from (
         select run_key, extent, loaded + passed as arrived,
           case when loaded + passed > 0 then 'loaded' when raw_sha256 is not null then 'read' else 'given up' end as did
         from mendflow.chunk where source_id = $1 and stage = $2 and run_key <> $3 and not left_open and extent && int8range($4, $5)) chunks
       group by 1, 2) parts
     order by array_position(array['loaded', 'read', 'given up'], did), arrived desc, 1`,
    [sourceId, ledgerStage(stage), runKey, within.from, within.to],
  );
  return rows;
}

/** What earlier generations of the run planned of a source, from the first byte to the last; none if it never did. */
export async function earlierSlice(db: Db, key: PlanKey): Promise<Slice | undefined> {
  const { rows } = await db.query<{ from: number | null; to: number | null; sealed: boolean | null }>(
    `select min(lower(extent))::float8 as from, max(upper(extent))::float8 as to, bool_or(sealed) as sealed from mendflow.slice
     where run_key = $1 and generation < $2 and stage = $3 and source_id = $4`,
    [key.runKey, key.generation, ledgerStage(key.stage), key.sourceId],
  );
  const { from, to, sealed } = rows[0]!;
  return from === null || to === null ? undefined : { from, to, sealed: sealed === true };
}

/** The first byte from `from` on that no other run has committed, and that none of `left` means to read. */
export async function firstFree(db: Db, key: PlanKey, from: number, left: readonly Range[]): Promise<number> {
  const { rows } = await db.query<{ free: number }>(
    `select lower(int8multirange(int8range($5, null)) - mendflow.covered($1, 1, $2, $3, int8range($5, null))
       - (select coalesce(range_agg(int8range(f, t)), '{}') from unnest($4::bigint[], $6::bigint[]) as r(f, t)))::float8 as free`,
    [
      key.runKey,
      ledgerStage(key.stage),
      key.sourceId,
      left.map((range) => range.from),
      from,
      left.map((range) => range.to),
    ],
  );
  return rows[0]!.free;
}

/** What is written down with a plan. */
export interface Planning {
  readonly place?: Uint8Array;
  readonly seen?: unknown;
}

/**
 * Writes the plan, or returns the one that an earlier attempt wrote: the first one stands. A run that has ended or was opened anew gets none;
 * fails then as taking the lease does.
 */
export async function writeSlice(db: Db, key: PlanKey, slice: Slice, about: Planning = {}): Promise<Slice> {
  await db.query(
    `insert into mendflow.slice (run_key, generation, stage, source_id, extent, sealed, call, place, seen)
     select $1, $2, $3, $4::bigint, int8range($5, $6), $7, $8, $9::bytea, $10::jsonb where mendflow.holds($1, $2, $11)
     on conflict (run_key, generation, stage, source_id) do nothing`,
    [
      key.runKey,
      key.generation,
      ledgerStage(key.stage),
      key.sourceId,
      slice.from,
      slice.to,
      slice.sealed,
      key.stage,
      about.place ? Buffer.from(about.place) : null,
      about.seen === undefined ? null : JSON.stringify(about.seen),
      key.execution ?? null,
    ],
  );
  const planned = await findSlice(db, key);
  if (planned) return planned;
  await refuseIfClosed(db, key);
  throw late(key.runKey);
}

async function findSlice(db: Db, key: PlanKey): Promise<Slice | undefined> {
  const { rows } = await db.query<Slice>(
    `select coalesce(lower(extent), 0)::float8 as from, coalesce(upper(extent), 0)::float8 as to, sealed from mendflow.slice
     where run_key = $1 and generation = $2 and stage = $3 and source_id = $4`,
    [key.runKey, key.generation, ledgerStage(key.stage), key.sourceId],
  );
  return rows[0];
}

/**
 * Makes a plan while no other run makes one for this source. `make` reads what is committed and planned, in the same transaction.
 * `anew`: a plan of this run that was made for another state of the file, and of which nothing was committed, is replaced.
 */
export const planAlone = (
  pool: Pool,
  key: PlanKey,
  about: Planning & { readonly anew: boolean },
  make: (db: Db) => Promise<Slice>,
): Promise<Slice> =>
  withClient(pool, (client) =>
    inTransaction(client, async () => {
      await client.query('select from mendflow.source where id = $1 for no key update', [key.sourceId]);
      if (about.anew) await dropPlan(client, key);
      return (await findSlice(client, key)) ?? (await writeSlice(client, key, await make(client), about));
    }),
  );

/** Takes back a plan of which nothing was committed. */
export const dropPlan = (db: Db, key: PlanKey): Promise<unknown> =>
  db.query(
    `delete from mendflow.slice s where run_key = $1 and generation = $2 and stage = $3 and source_id = $4
     and mendflow.holds($1, $2, $5)
     and not exists (select from mendflow.chunk c where c.run_key = $1 and c.generation = $2 and c.stage = $3 and c.source_id = $4)`,
    [key.runKey, key.generation, ledgerStage(key.stage), key.sourceId, key.execution ?? null],
  );
