// What lives here: what the control store knows of a stretch of time: runs, stages in trouble, openings of breakers, letters. SELECTs only.
// Invariant: counted, never remembered: nothing here is a counter that somebody has to keep right.
// Apart from the reads about single runs because these look back over all of them.
import type { Pool } from 'pg';

/** Runs that were opened, closed or under way since then, by state. */
export async function runStatesSince(pool: Pool, since: Date): Promise<Readonly<Record<string, number>>> {
  const { rows } = await pool.query<{ state: string; count: number }>(
    `select state, count(*)::float8 as count from mendflow.run
     where opened_at >= $1 or closed_at >= $1 or closed_at is null group by 1 order by 1`,
    [since],
  );
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

/** One stage of one run that failed, with an attempt that left no report, or that its breaker held back. */
export interface Troubled {
  readonly run: string;
  readonly pipeline: string;
  readonly stage: string;
  readonly state: string;
  /** Attempts that failed since then: of what failed before, only that it is not over is told. */
  readonly failed: number;
  /** Attempts since then that ended without a word: their worker ended, froze or could not reach this store. One that an abort stopped is none. */
  readonly lost: number;
  readonly firstAt: Date;
  /** Null while it is not over. */
  readonly endedAt: Date | null;
  /** Code of the last failure; `breaker_open` where the breaker was the last to stop it, `worker_lost` where nothing else happened. */
  readonly code: string;
  /** Its budget was spent at least once. */
  readonly spent: boolean;
  /** Decisions that were taken for it. */
  readonly decisions: number;
  /** The attempt that the last of them caused did not fail, and no trial of the breaker had to pass first. */
  readonly decided: boolean;
  /** A person ended what kept its breaker closed to it, and no trial passed in between. */
  readonly released: boolean;
}

/** Whether an event is of the breaker that refused the stage last: the refusal ends with its name. */
const refusedBy = `s.code = 'breaker_open' and right(s.text, length(e.key) + 5) = 'show ' || e.key`;

/** Stages whose trouble ended since then, or has not ended. */
export async function troubledSince(pool: Pool, since: Date): Promise<Troubled[]> {
  const { rows } = await pool.query<Troubled>(
    `select s.run_key as run, coalesce(r.pipeline, '') as pipeline, s.stage, case when s.state = 'done' and d.loss then 'loss-accepted' else s.state end as state,
       a.lately as failed, case when s.ended_at < $1 then 0 else l.lost end as lost, coalesce(a.first, s.first_at) as "firstAt",
       case when s.state in ('running', 'retrying', 'parked', 'asking') then null else s.ended_at end as "endedAt",
       case when a.failed = 0 and s.code is distinct from 'breaker_open' then 'worker_lost' else s.code end as code, a.spent, d.decisions, d.decided or coalesce(p.decided, false) as decided, b.released
     from mendflow.stage_run s
     left join mendflow.run r on r.key = s.run_key
     cross join lateral (
       select count(*) filter (where code <> 'worker_lost')::int as failed, count(*) filter (where code <> 'worker_lost' and at >= $1)::int as lately, min(at) as first, coalesce(bool_or(next_try_at is null), false) as spent, max(at) filter (where code <> 'worker_lost') as latest,
         coalesce(bool_or(attempt = s.attempts), false) as last
       from mendflow.attempt where run_key = s.run_key and generation = s.generation and stage = s.stage) a
     -- An attempt that neither failed nor is the one that ended well, is under way or was stopped by an abort, has told nobody how it ended. A skip or an accepted loss is mostly none.
     cross join lateral (
       select greatest(0, s.attempts - a.failed - case when s.state in ('done', 'running') or s.state in ('skipped', 'loss-accepted', 'aborted') and not a.last then 1 else 0 end)::int as lost) l
     cross join lateral (
       select count(*)::int as decisions, coalesce(bool_or(kind = 'accept-loss'), false) as loss,
         coalesce(bool_or(kind = 'extend-budget' or at >= coalesce(a.latest, '-infinity') and not exists (select from mendflow.breaker_event e
           where e.kind = 'move' and e.to_state = 'ramping' and e.at > decision.at and e.at < s.attempt_at and ${refusedBy})), false) as decided
       from mendflow.decision
       where run_key = s.run_key and stage in (s.stage, '') and taken and at >= coalesce(a.first, s.first_at)
         and (s.state in ('running', 'retrying', 'parked', 'asking') or at <= s.ended_at)) d
     -- What was parked last, it was a person who ended it; tries that failed after that were its budget's own.
     left join lateral (
       select until = 'decision' as decided from mendflow.past_park where run_key = s.run_key and stage = s.stage and since >= coalesce(a.first, s.first_at)
       order by ended_at desc limit 1) p on true
     cross join lateral (
       select exists (select from mendflow.breaker_event e where ${refusedBy} and e.kind = 'mode' and e.reason in ('forced_closed', 'auto')
         and e.detail ->> 'by' is distinct from 'expiry' and e.at between coalesce(a.first, s.first_at) and s.ended_at
         and not exists (select from mendflow.breaker_event m where m.key = e.key and m.kind = 'move' and m.to_state = 'ramping' and m.at between e.at and s.ended_at)) as released) b
     where (a.failed > 0 or l.lost > 0 or s.code = 'breaker_open') and (s.ended_at is null or s.ended_at >= $1 or s.state in ('running', 'retrying', 'parked', 'asking'))
     order by 7, 1, 3`,
    [since],
  );
  return rows;
}

/** Runs that ended since then with something lost, those that were aborted among them (not those that only left bytes to a run which ended without them: nobody gave these up), and what it is as far as it can be counted. */
export async function lossesSince(
  pool: Pool,
  since: Date,
): Promise<{ runs: number; first: string[]; records: number; bytes: number }> {
  const { rows } = await pool.query<{ runs: number; first: string[]; records: number; bytes: number }>(
    `select count(*)::float8 as runs, coalesce((array_agg(key order by closed_at, key))[1:3], '{}') as first,
       coalesce(sum((closed #>> '{balance,lost}')::float8), 0) as records, coalesce(sum(bytes), 0)::float8 as bytes
     from mendflow.run cross join lateral (
       select coalesce((closed #>> '{balance,uncountedBytes}')::float8, 0) as bytes) b
     where closed_at >= $1 and (state = 'degraded' and not coalesce(closed ? 'leftBytes', false) or state in ('aborted', 'failed') and bytes > 0)`,
    [since],
  );
  return rows[0]!;
}

/** How often a stage needed more than one attempt: what drifts here is an upstream that gets worse. */
export interface RetryRate {
  readonly pipeline: string;
  readonly stage: string;
  readonly stages: number;
  readonly retried: number;
  readonly attemptsMost: number;
}

/** Stages as declared (`ingest[a.log]` counts as ingest) that needed a retry, worst first. */
export async function retryRatesSince(pool: Pool, since: Date): Promise<RetryRate[]> {
  const { rows } = await pool.query<RetryRate>(
    `select coalesce(r.pipeline, '') as pipeline, split_part(s.stage, '[', 1) as stage, count(*)::float8 as stages,
       count(*) filter (where s.attempts > 1)::float8 as retried, max(s.attempts)::int as "attemptsMost"
     from mendflow.stage_run s left join mendflow.run r on r.key = s.run_key
     where (s.ended_at is null or s.ended_at >= $1) and s.stage not like 'mendflow:%'
     group by 1, 2 having count(*) filter (where s.attempts > 1) > 0 order by 4 desc, 1, 2`,
    [since],
  );
  return rows;
}

/** A transition of a breaker. */
export interface Move {
  readonly key: string;
  readonly to: 'closed' | 'open' | 'half_open' | 'ramping';
  readonly reason: string;
  readonly hold: string | null;
  readonly at: Date;
}

/** Since then, and of an outage that began earlier from its beginning. */
export async function movesSince(pool: Pool, since: Date): Promise<Move[]> {
  const { rows } = await pool.query<Move>(
    `select e.key, e.to_state as "to", e.reason, e.detail ->> 'hold' as hold, e.at
     from mendflow.breaker_event e
     left join lateral (
       select max(c.id) as id from mendflow.breaker_event c where c.key = e.key and c.kind = 'move' and c.to_state = 'closed' and c.at < $1) c on true
     where e.kind = 'move' and e.id > coalesce(c.id, 0) order by e.id`,
    [since],
  );
  return rows;
}

/** What waits now, by what it waits for and why. */
export interface Waiting {
  readonly until: 'upstream' | 'time' | 'decision';
  readonly upstream: string | null;
  readonly code: string;
  readonly stages: number;
  readonly oldest: Date;
}

export async function waitingNow(pool: Pool): Promise<Waiting[]> {
  const { rows } = await pool.query<Waiting>(
    `select until, upstream, code, count(*)::float8 as stages, min(since) as oldest from mendflow.parked_run
     group by 1, 2, 3 order by until = 'decision' desc, 4 desc, 3`,
  );
  return rows;
}

/** Dead letters that are open, how many of them are samples of a stop, those written since then, and decisions that were taken since then. */
export async function lettersAndDecisions(
  pool: Pool,
  since: Date,
): Promise<{ open: number; samples: number; written: number; decisions: number }> {
  const { rows } = await pool.query<{ open: number; samples: number; written: number; decisions: number }>(
    `select count(*) filter (where state = 'open')::float8 as open, count(*) filter (where state = 'open' and sample)::float8 as samples,
       count(*) filter (where at >= $1)::float8 as written,
       (select count(*) from mendflow.decision where taken and at >= $1)::float8 as decisions
     from mendflow.dead_letter`,
    [since],
  );
  return rows[0]!;
}
