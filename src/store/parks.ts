// What lives here: statements about stages that wait: their rows, and which of them may go on when an upstream is back.
// Invariant: a row names its park by token, so nothing said about one park touches a later one, and a park that is over gets no row; of two that release at once each takes other rows.
// Apart from the statements about runs because recovery and watch read and change these rows, and nothing else.
import type { Pool } from 'pg';
import type { Health, Park } from '../model/messages.ts';
import type { Db } from './db.ts';

/** Which park, and where its signals go. */
export interface ParkAt {
  readonly workflowId: string;
  readonly stage: string;
  readonly token: string;
}

/** Stages at an upstream. */
export interface ParkCounts {
  readonly waiting: number;
  readonly going: number;
  readonly lost: number;
  readonly asking: number;
}

/** Where a park is. With a generation, the run's own rows go with it; before it is opened a run has none. */
export interface ParkPlace {
  readonly runKey: string;
  readonly workflowId: string;
  readonly stage: string;
  readonly generation?: number | undefined;
  /** First execution of the chain of the run. */
  readonly execution?: string | undefined;
}

/**
 * Writes or repairs the row of a park, and the run's state with it, in the caller's transaction. A release given to this park stays.
 * False, and nothing is written, if the park is over, or the run has ended or was opened anew: then this look comes too late.
 */
export async function writePark(db: Db, at: ParkPlace, park: Park, health: Health): Promise<boolean> {
  const { failure } = park;
  const opened = at.generation !== undefined;
  // A statement of its own: what stands below is then read after the lock was given.
  if (opened && !(await holds(db, at))) return false;
  const { rows } = await db.query(
    `with parked as (
       insert into mendflow.parked_run as p (run_key, workflow_id, stage, token, until, code, class, text, attempts, elapsed_ms, since, wake_at, upstream, deadline_at, accepts_loss)
       select $1, $2, $3, $4, $5, $6, $7, $8, $9::int, $10::bigint, to_timestamp($11::float8 / 1000), to_timestamp($12::float8 / 1000), $14,
         to_timestamp($15::float8 / 1000), $17::boolean
       where not exists (select from mendflow.ended_park where run_key = $1 and token = $4)
       on conflict (workflow_id, stage) do update set token = excluded.token, until = excluded.until, code = excluded.code, class = excluded.class, text = excluded.text,
         attempts = excluded.attempts, elapsed_ms = excluded.elapsed_ms, since = excluded.since, wake_at = excluded.wake_at, upstream = excluded.upstream,
         deadline_at = excluded.deadline_at, accepts_loss = excluded.accepts_loss, checked_at = clock_timestamp(),
         released_at = case when p.token = excluded.token then p.released_at end,
         released_epoch = case when p.token = excluded.token then p.released_epoch end,
         canary_at = case when p.token = excluded.token then p.canary_at end
       where p.token = excluded.token or p.since <= excluded.since
       returning token)
     , staged as (
       update mendflow.stage_run set state = case when $5 = 'decision' then 'asking' else 'parked' end,
           attempt_at = greatest(attempt_at, to_timestamp($11::float8 / 1000))
         where run_key = $1 and stage = $3 and generation = $16 and attempt_at <= to_timestamp($11::float8 / 1000) and exists (select from parked))
     , told as (
       update mendflow.run set state = case when $13 = 'asking' then 'asking' else 'parked' end, health = $13
         where key = $1 and generation = $16 and exists (select from parked))
     select from parked`,
    [
      at.runKey,
      at.workflowId,
      at.stage,
      park.token,
      park.until,
      failure.code,
      failure.class,
      failure.text,
      park.attempts,
      Math.round(park.elapsedMs),
      park.since,
      park.until === 'upstream' ? null : (park.wakeAt ?? null),
      health,
      park.upstream ?? failure.upstream ?? null,
      park.until === 'upstream' ? (park.wakeAt ?? null) : null,
      at.generation ?? null,
      park.acceptsLoss === true,
    ],
  );
  return rows.length > 0;
}

async function holds(db: Db, { runKey, generation, execution }: ParkPlace): Promise<boolean> {
  const { rows } = await db.query<{ holds: boolean }>('select mendflow.holds($1, $2, $3)', [
    runKey,
    generation,
    execution ?? null,
  ]);
  return rows[0]!.holds;
}

/** The wait is over, and no look that was under way brings its row back. The run's own row goes back to running once no stage of it waits. */
export const removePark = (pool: Pool, at: Omit<ParkPlace, 'workflowId'>, token: string): Promise<unknown> =>
  pool.query('select mendflow.end_park($1, $2, $3, $4, $5)', [
    at.runKey,
    at.generation ?? null,
    at.execution ?? null,
    at.stage,
    token,
  ]);

/** The stage of a park that ends because nobody will come back for it. */
export const forgetStage = (pool: Pool, runKey: string, stage: string): Promise<unknown> =>
  pool.query(
    `update mendflow.stage_run s set state = 'skipped', ended_at = clock_timestamp() from mendflow.run r
     where r.key = $1 and s.run_key = r.key and s.generation = r.generation and s.stage = $2 and s.state in ('parked', 'asking', 'retrying')`,
    [runKey, stage],
  );

/** A row whose workflow is not there any more to remove it. With `checked`, only if nobody has looked after it since. */
export const dropPark = (pool: Pool, at: ParkAt & { readonly checked?: string }): Promise<unknown> =>
  pool.query(
    `delete from mendflow.parked_run where workflow_id = $1 and stage = $2 and token = $3 and ($4::text is null or checked_at::text = $4)`,
    [at.workflowId, at.stage, at.token, at.checked ?? null],
  );

/** Whether recovery let this park go on, in this epoch of the breaker. */
export async function isReleased(db: Db, at: ParkAt, epoch: number): Promise<boolean> {
  const { rows } = await db.query<{ released: boolean }>(
    'select released_epoch = $4 as released from mendflow.parked_run where workflow_id = $1 and stage = $2 and token = $3',
    [at.workflowId, at.stage, at.token, epoch],
  );
  return rows[0]?.released === true;
}

/**
 * Stages that wait for an upstream: not let go yet; let go in this epoch and not gone yet; let go longer than `lostMs` ago;
 * and stages that ask about its hold: a question about something else is none.
 * A look that was under way as its park ended may have written the row anew. Nobody ever goes for such a row, so waves must not wait for it.
 */
export async function countParks(
  db: Db,
  upstream: string,
  { epoch, hold, lostMs }: { readonly epoch: number; readonly hold?: string | undefined; readonly lostMs: number },
): Promise<ParkCounts> {
  const { rows } = await db.query<ParkCounts>(
    `select count(*) filter (where until = 'upstream' and released_epoch is distinct from $2)::int as waiting,
       count(*) filter (where until = 'upstream' and released_epoch = $2 and released_at >= clock_timestamp() - $4 * interval '1 millisecond')::int as going,
       count(*) filter (where until = 'upstream' and released_epoch = $2 and released_at < clock_timestamp() - $4 * interval '1 millisecond')::int as lost,
       count(*) filter (where until = 'decision' and code = $3)::int as asking
     from mendflow.parked_run where upstream = $1`,
    [upstream, epoch, hold ?? null, lostMs],
  );
  return rows[0]!;
}

/** A round of recovery that was stopped meanwhile speaks of an epoch that is over; a breaker that nobody declared has none. */
const isEpoch = 'not exists (select from mendflow.breaker where key = $1 and epoch <> $2)';
const parkAt = 'p.workflow_id as "workflowId", p.stage, p.token';

/** Lets the next `n` go on, nearest deadline first. */
export async function releaseWave(db: Db, upstream: string, epoch: number, n: number): Promise<ParkAt[]> {
  const { rows } = await db.query<ParkAt>(
    `with next as (
       select workflow_id, stage, row_number() over () as n from (
         select workflow_id, stage from mendflow.parked_run
         where upstream = $1 and until = 'upstream' and released_epoch is distinct from $2 and ${isEpoch}
         order by deadline_at nulls last, since, workflow_id, stage limit $3 for update skip locked) o)
     , released as (
       update mendflow.parked_run p set released_at = clock_timestamp(), released_epoch = $2 from next
       where p.workflow_id = next.workflow_id and p.stage = next.stage returning ${parkAt}, next.n)
     select "workflowId", stage, token from released order by n`,
    [upstream, epoch, n],
  );
  return rows;
}

/** Lets the one go ahead that has waited longest and was not sent ahead yet in this outage. */
export async function releaseCanary(db: Db, upstream: string, epoch: number): Promise<ParkAt | undefined> {
  const { rows } = await db.query<ParkAt>(
    `update mendflow.parked_run p set canary_at = clock_timestamp(), released_at = clock_timestamp(), released_epoch = $2
     where (p.workflow_id, p.stage) = (
       select workflow_id, stage from mendflow.parked_run where upstream = $1 and until = 'upstream' and ${isEpoch}
       order by canary_at nulls first, since, workflow_id, stage limit 1 for update skip locked)
     returning ${parkAt}`,
    [upstream, epoch],
  );
  return rows[0];
}

/**
 * Up to `limit` of those that were let go and have not gone for `olderMs`: their signal may have been lost. After `lostMs` nobody is told any more.
 * Any of them, because the same ones each time would keep the others from their turn.
 */
export async function releasedAgain(
  db: Db,
  upstream: string,
  { epoch, olderMs, lostMs, limit }: { epoch: number; olderMs: number; lostMs: number; limit: number },
): Promise<ParkAt[]> {
  const { rows } = await db.query<ParkAt>(
    `select ${parkAt} from mendflow.parked_run p where upstream = $1 and until = 'upstream' and released_epoch = $2
       and released_at between clock_timestamp() - $4 * interval '1 millisecond' and clock_timestamp() - $3 * interval '1 millisecond'
     order by random() limit $5`,
    [upstream, epoch, olderMs, lostMs, limit],
  );
  return rows;
}

/** Upstreams that somebody waits for. */
export async function upstreamsWaitedFor(db: Db): Promise<string[]> {
  const { rows } = await db.query<{ upstream: string }>(
    `select distinct upstream from mendflow.parked_run where until = 'upstream' and upstream is not null order by 1`,
  );
  return rows.map(({ upstream }) => upstream);
}

/** The next rows after a place, by workflow and stage; from the beginning without one. */
export async function parksAfter(
  db: Db,
  after: { readonly workflowId: string; readonly stage: string } | undefined,
  limit: number,
): Promise<(ParkAt & { readonly sinceMs: number; readonly checked: string })[]> {
  const { rows } = await db.query<ParkAt & { sinceMs: number; checked: string }>(
    `select ${parkAt}, p.checked_at::text as checked, (extract(epoch from clock_timestamp() - p.checked_at) * 1000)::float8 as "sinceMs" from mendflow.parked_run p
     where $1::text is null or (p.workflow_id, p.stage) > ($1, $2) order by p.workflow_id, p.stage limit $3`,
    [after?.workflowId ?? null, after?.stage ?? null, limit],
  );
  return rows;
}
