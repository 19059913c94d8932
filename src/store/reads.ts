// What lives here: what the command line reads of runs, stages, attempts, parks and decisions. SELECTs only.
// Invariant: nothing here asks Temporal, so that `runs` and `show` answer while no worker lives and while a run is paused.
// Apart from runs.ts because these statements serve people; those serve the engine.
import type { Pool } from 'pg';
import type { Totals } from '../model/messages.ts';

export interface RunRow {
  readonly run: string;
  readonly pipeline: string;
  readonly dataDate: string;
  readonly scope: string;
  readonly generation: number;
  readonly state: 'running' | 'parked' | 'asking' | 'done' | 'degraded' | 'aborted' | 'failed';
  /** As it is now; of a closed run as it was at its end. */
  readonly health: string;
  readonly workflowId: string | null;
  readonly owner: string | null;
  readonly input: Readonly<Record<string, unknown>> | null;
  readonly openedAt: Date;
  readonly closedAt: Date | null;
  readonly closed: {
    readonly totals?: Totals;
    readonly balance?: { readonly lost?: number; readonly uncountedBytes?: number };
    /** What it left to other runs, which ended without loading it. */
    readonly leftBytes?: number;
  } | null;
}

export interface RunListRow extends RunRow, Totals {
  /** Stages that wait, with their codes and what they wait for, for one line of a list; of many the first. */
  readonly waiting: string | null;
  /** Why Temporal cannot move it on, in one word. */
  readonly stalled: string | null;
  /** Its first note, such as which run loaded the file before, and how many there are. */
  readonly note: string | null;
  readonly notes: number;
}

const runColumns = `r.key as run, r.pipeline, r.data_date as "dataDate", r.scope, r.generation, r.state,
  case when r.closed_at is null then r.health when r.state = 'done' then 'healthy' else r.state end as health, r.workflow_id as "workflowId",
  r.owner, r.input, r.opened_at as "openedAt", r.closed_at as "closedAt", r.closed`;

/** Of the current generation, counted from the ledger: chunks, without the records that a stage handed on to the next. bigint to number: 2^53 records are enough. */
const binsOf = `(select coalesce(sum(c.read - c.passed), 0)::float8 as read, coalesce(sum(c.loaded), 0)::float8 as loaded, coalesce(sum(c.duplicate), 0)::float8 as duplicate,
    coalesce(sum(c.quarantined), 0)::float8 as quarantined, coalesce(sum(c.skipped), 0)::float8 as skipped
  from mendflow.chunk c where c.run_key = r.key and c.generation = r.generation)`;

export interface RunFilter {
  readonly pipeline?: string | undefined;
  readonly state?: string | undefined;
  readonly dataDate?: string | undefined;
  readonly limit: number;
}

/** Newest first. */
export async function listRuns(pool: Pool, filter: RunFilter): Promise<RunListRow[]> {
  const { rows } = await pool.query<RunListRow>(
    `select ${runColumns}, b.*, p.waiting, s.cause as stalled, n.note, n.notes
     from mendflow.run r
     cross join lateral ${binsOf} b
     left join lateral (select string_agg(stage || case until when 'decision' then ' asks' when 'upstream' then ' waits for ' || coalesce(upstream, 'its upstream')
           else ' waits' || coalesce(to_char(wake_at at time zone 'UTC', '" until "YYYY-MM-DD HH24:MI:SS"Z"'), ' for a time') end || ': ' || code, ', ' order by since) filter (where n <= 3)
         || case when max(n) > 3 then ' and ' || max(n) - 3 || ' more' else '' end as waiting
       from (select *, row_number() over (order by since, stage) as n from mendflow.parked_run where run_key = r.key) parked) p on true
     cross join lateral (select (array_agg(text order by at, stage))[1] as note, count(*)::int as notes
       from mendflow.run_note where run_key = r.key and generation = r.generation) n
     left join mendflow.stalled_run s on s.workflow_id = r.workflow_id
     where ($1::text is null or r.pipeline = $1) and ($2::text is null or r.state = $2) and ($3::text is null or r.data_date = $3)
     order by r.opened_at desc, r.key limit $4`,
    [filter.pipeline ?? null, filter.state ?? null, filter.dataDate ?? null, filter.limit],
  );
  return rows;
}

/** The run of exactly this key. */
export async function findRun(pool: Pool, key: string): Promise<RunRow | undefined> {
  const { rows } = await pool.query<RunRow>(`select ${runColumns} from mendflow.run r where r.key = $1`, [key]);
  return rows[0];
}

/** Keys that begin or end like this, or have a part that begins so, at most `limit`. */
export async function runsLike(pool: Pool, part: string, limit: number): Promise<string[]> {
  const { rows } = await pool.query<{ key: string }>(
    `select key from mendflow.run where starts_with(key, $1) or right(key, length($1)) = $1 or strpos(key, '/' || $1) > 0 order by opened_at desc, key limit $2`,
    [part, limit],
  );
  return rows.map(({ key }) => key);
}

export interface StageRow {
  readonly stage: string;
  readonly state: string;
  readonly attempts: number;
  /** From the first attempt to the end of the last one, or until now, without what it waited. */
  readonly seconds: number;
  /** In parks, for an upstream or a time, also in the one that goes on now. */
  readonly parkedSeconds: number;
  /** For a decision, also for the one that is asked for now. */
  readonly askedSeconds: number;
  readonly code: string | null;
  readonly class: string | null;
  readonly text: string | null;
  readonly worker: string | null;
}

/** In the order in which they began; the engine's own stages are left out unless they are in trouble. */
export async function stagesOf(pool: Pool, key: string, generation: number): Promise<StageRow[]> {
  const { rows } = await pool.query<StageRow>(
    `select s.stage, s.state, s.attempts, greatest(0, extract(epoch from coalesce(s.ended_at, clock_timestamp()) - s.first_at - s.parked - s.asked))::float8 as seconds,
       extract(epoch from s.parked + case when p.until <> 'decision' then p.lasts else '0' end)::float8 as "parkedSeconds",
       extract(epoch from s.asked + case when p.until = 'decision' then p.lasts else '0' end)::float8 as "askedSeconds", s.code, s.class, s.text, s.worker
     from mendflow.stage_run s left join lateral (
       select until, greatest(clock_timestamp() - since, '0') as lasts from mendflow.parked_run
       where run_key = s.run_key and stage = s.stage and s.state in ('parked', 'asking')) p on true
     where s.run_key = $1 and s.generation = $2 and (s.stage not like 'mendflow:%' or s.state in ('retrying', 'parked', 'asking', 'failed'))
     order by s.first_at, s.stage`,
    [key, generation],
  );
  return rows;
}

export interface ParkRow {
  readonly stage: string;
  readonly token: string;
  readonly until: 'upstream' | 'time' | 'decision';
  readonly code: string;
  readonly class: string;
  readonly text: string;
  readonly attempts: number;
  readonly elapsedMs: number;
  readonly since: Date;
  /** Next try by itself (until time). */
  readonly wakeAt: Date | null;
  readonly checkedAt: Date;
  /** The upstream that failed, if one did; until upstream, its breaker ends the wait. */
  readonly upstream: string | null;
  /** Until upstream: when it asks instead of waiting on. */
  readonly deadlineAt: Date | null;
  /** Until upstream: when recovery let it go on. */
  readonly releasedAt: Date | null;
  /** Until upstream: code of the fault that holds its breaker, such as `http_401`. Time does not heal it. */
  readonly held: string | null;
  /** Whether `accept-loss` would do what it says. */
  readonly acceptsLoss: boolean;
}

/** What waits now. A park whose decision was taken is no question any more, also while its row is still there. */
export async function parksOf(pool: Pool, key: string): Promise<ParkRow[]> {
  const { rows } = await pool.query<ParkRow>(
    `select stage, token, until, code, class, text, attempts, elapsed_ms::float8 as "elapsedMs", since, wake_at as "wakeAt", checked_at as "checkedAt",
       upstream, deadline_at as "deadlineAt", released_at as "releasedAt", accepts_loss as "acceptsLoss",
       case when p.until = 'upstream' and mendflow.breaker_mode(b, mendflow.clk()) = 'auto' then b.hold end as held
     from mendflow.parked_run p left join mendflow.breaker b on b.key = p.upstream where run_key = $1
       and not exists (select from mendflow.decision d where d.run_key = p.run_key and d.token = p.token and d.taken)
     order by since, stage`,
    [key],
  );
  return rows;
}

/** A wait as it is told afterwards. */
export interface ToldPark extends Pick<
  ParkRow,
  'stage' | 'token' | 'until' | 'code' | 'attempts' | 'elapsedMs' | 'since' | 'wakeAt' | 'upstream'
> {
  /** Null while it goes on. */
  readonly endedAt: Date | null;
}

/** What waits and what has waited, oldest first; of more than `limit` the latest. A decision ends a park before its row goes. */
export async function toldParksOf(pool: Pool, key: string, limit: number): Promise<ToldPark[]> {
  const columns = 'p.stage, p.token, p.until, p.code, p.attempts, p.elapsed_ms, p.since, p.wake_at, p.upstream';
  const { rows } = await pool.query<ToldPark>(
    `select stage, token, until, code, attempts, elapsed_ms::float8 as "elapsedMs", since, wake_at as "wakeAt", upstream, ended_at as "endedAt" from (
       select * from (
         select ${columns}, (select min(at) from mendflow.decision where run_key = p.run_key and token = p.token and taken) as ended_at
         from mendflow.parked_run p where run_key = $1
         union all
         select ${columns}, p.ended_at from mendflow.past_park p where run_key = $1
           and not exists (select from mendflow.parked_run where run_key = p.run_key and token = p.token)) every
       order by since desc, stage desc limit $2) latest order by since, stage`,
    [key, limit],
  );
  return rows;
}

export interface AttemptRow {
  readonly stage: string;
  readonly generation: number;
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly code: string;
  readonly class: string;
  readonly text: string;
  readonly nextTryAt: Date | null;
  readonly worker: string;
  readonly at: Date;
}

/** Failed attempts, oldest first; of more than `limit` the latest. */
export async function attemptsOf(pool: Pool, key: string, limit: number): Promise<AttemptRow[]> {
  const { rows } = await pool.query<AttemptRow>(
    `select * from (
       select id, stage, generation, attempt, attempts_max as "attemptsMax", code, class, text, next_try_at as "nextTryAt", worker, at
       from mendflow.attempt where run_key = $1 order by id desc limit $2) latest order by id`,
    [key, limit],
  );
  return rows;
}

/** Attempts of a stage that told nobody how they ended: their worker ended, froze or could not reach this store. */
export interface LostAttempts {
  readonly stage: string;
  readonly attempts: readonly number[];
  /** By when they had ended. */
  readonly at: Date;
}

/** Of the current generation: numbers up to the one that is under way or ended, of which no row tells a failure. */
export async function lostAttemptsOf(pool: Pool, key: string): Promise<LostAttempts[]> {
  const { rows } = await pool.query<LostAttempts>(
    `select s.stage, array_agg(n order by n) as attempts, coalesce(next.at, greatest(s.first_at, s.attempt_at)) as at
     from mendflow.run r join mendflow.stage_run s on s.run_key = r.key and s.generation = r.generation
     cross join lateral generate_series(1, s.attempts - case when s.state in ('done', 'running', 'skipped', 'loss-accepted', 'aborted') then 1 else 0 end) n
     -- Nobody saw it end; it had, when the next one that was seen did.
     left join lateral (select min(a.at) as at from mendflow.attempt a
       where a.run_key = s.run_key and a.generation = s.generation and a.stage = s.stage and a.attempt > n) next on true
     where r.key = $1 and not exists (select from mendflow.attempt a
       where a.run_key = s.run_key and a.generation = s.generation and a.stage = s.stage and a.attempt = n)
     group by s.stage, next.at, s.first_at, s.attempt_at order by 3, 1`,
    [key],
  );
  return rows;
}

export interface DecisionRow {
  readonly stage: string;
  readonly token: string;
  readonly kind: string;
  readonly actor: string;
  readonly reason: string;
  readonly taken: boolean;
  readonly text: string;
  readonly at: Date;
}

/** Taken and refused, oldest first; of more than `limit` the latest. */
export async function decisionsOf(pool: Pool, key: string, limit: number): Promise<DecisionRow[]> {
  const { rows } = await pool.query<DecisionRow>(
    `select * from (
       select id, stage, token, kind, actor, reason, taken, text, at from mendflow.decision where run_key = $1 order by id desc limit $2) latest order by id`,
    [key, limit],
  );
  return rows;
}

/** The bins of the current generation as they are now, also while the run is under way. */
export async function totalsOf(pool: Pool, key: string): Promise<Totals> {
  const { rows } = await pool.query<Totals>(
    `select b.* from mendflow.run r cross join lateral ${binsOf} b where r.key = $1`,
    [key],
  );
  return rows[0] ?? { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 };
}

/** How far a run is. */
export interface Progress extends Totals {
  /** Bytes of the slices that its stages have planned so far; 0 where nothing is planned in bytes. */
  readonly bytesPlanned: number;
  readonly bytesDone: number;
  /** Records of the last minute, or since the first were committed, and over how many seconds. */
  readonly recordsLately: number;
  readonly secondsLately: number;
}

/** Counted from the ledger: what is under way and not committed counts for nothing. */
export async function progressOf(pool: Pool, key: string): Promise<Progress> {
  const { rows } = await pool.query<Progress>(
    `select b.*, s.planned as "bytesPlanned", d.done as "bytesDone", d.lately as "recordsLately", d.seconds as "secondsLately"
     from mendflow.run r cross join lateral ${binsOf} b
     cross join lateral (
       select coalesce(sum(upper(extent) - lower(extent)), 0)::float8 as planned
       from mendflow.slice where run_key = r.key and generation = r.generation and not isempty(extent)) s
     cross join lateral (
       select coalesce(sum(upper(extent) - lower(extent)), 0)::float8 as done,
         coalesce(sum(read - passed) filter (where at > clock_timestamp() - interval '1 minute'), 0)::float8 as lately,
         coalesce(extract(epoch from least(interval '1 minute', clock_timestamp() - min(at))), 0)::float8 as seconds
       from mendflow.chunk where run_key = r.key and generation = r.generation) d
     where r.key = $1`,
    [key],
  );
  const none = { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 };
  return rows[0] ?? { ...none, bytesPlanned: 0, bytesDone: 0, recordsLately: 0, secondsLately: 0 };
}

/** Dead letters by state: those that `letters list --run` lists. */
export async function lettersByState(pool: Pool, key: string): Promise<Readonly<Record<string, number>>> {
  const { rows } = await pool.query<{ state: string; count: number }>(
    `select state, count(*)::float8 as count from mendflow.letters_of($1) group by state order by state`,
    [key],
  );
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

/** How many runs are in each state. */
export async function runsByState(pool: Pool): Promise<Readonly<Record<string, number>>> {
  const { rows } = await pool.query<{ state: string; count: number }>(
    'select state, count(*)::float8 as count from mendflow.run group by state',
  );
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

/** Of these runs those that the ledger has open. */
export async function openOf(pool: Pool, keys: readonly string[]): Promise<ReadonlySet<string>> {
  const { rows } = await pool.query<{ key: string }>(
    'select key from mendflow.run where key = any ($1) and closed_at is null',
    [keys],
  );
  return new Set(rows.map(({ key }) => key));
}

/** Of these runs those that the ledger has, open or not. */
export async function knownOf(pool: Pool, keys: readonly string[]): Promise<ReadonlySet<string>> {
  const { rows } = await pool.query<{ key: string }>('select key from mendflow.run where key = any ($1)', [keys]);
  return new Set(rows.map(({ key }) => key));
}

/** Whether any worker has measured its clock of late, as each does once a minute. One that was killed counts for some minutes more. */
export async function someWorkerLives(pool: Pool): Promise<boolean> {
  const { rows } = await pool.query<{ lives: boolean }>(
    `select exists (select from mendflow.worker_clock where measured_at > clock_timestamp() - interval '3 minutes') as lives`,
  );
  return rows[0]!.lives;
}

/** Runs that wait, longest first. */
export async function parkedWorkflows(pool: Pool, limit: number): Promise<{ run: string; workflowId: string }[]> {
  const { rows } = await pool.query<{ run: string; workflowId: string }>(
    `select run_key as run, workflow_id as "workflowId" from mendflow.parked_run group by 1, 2 order by min(since) limit $1`,
    [limit],
  );
  return rows;
}

/** By run and stage: bytes that the current generation has planned to read and has not accounted for, which an accepted loss would give up. */
export async function unreadOf(
  pool: Pool,
  runs: readonly string[],
): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>> {
  const { rows } = await pool.query<{ run: string; stage: string; unread: number }>(
    `select r.key as run, coalesce(s.call, s.stage) as stage, sum(upper(s.extent) - lower(s.extent) - coalesce(c.done, 0))::float8 as unread
     from mendflow.run r join mendflow.slice s on s.run_key = r.key and s.generation = r.generation and not isempty(s.extent)
     left join lateral (select sum(upper(extent) - lower(extent)) as done from mendflow.chunk
       where run_key = s.run_key and generation = s.generation and stage = s.stage and source_id = s.source_id and extent && s.extent) c on true
     where r.key = any ($1) group by 1, 2`,
    [runs],
  );
  const byRun = new Map<string, Map<string, number>>();
  for (const { run, stage, unread } of rows) byRun.set(run, (byRun.get(run) ?? new Map()).set(stage, unread));
  return byRun;
}
