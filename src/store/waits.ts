// What lives here: what the command line reads of all stages that wait: those a filter means, and those that wait for an upstream. SELECTs only.
// Invariant: a park whose decision was taken is no question any more, also while its row is still there.
// Apart from the reads about one run because these look across runs.
import type { Pool } from 'pg';

/** What an operator means, without naming runs. */
export interface WaitFilter {
  readonly pipeline?: string;
  readonly code?: string;
  readonly class?: string;
  readonly upstream?: string;
  /** Waits since then or later. */
  readonly since?: Date;
  /** Also stages that go on by themselves, by time or with their upstream; else only those that ask. */
  readonly alsoParked: boolean;
  readonly limit: number;
}

/** One stage that waits, with all a decision needs. */
export interface Wait {
  readonly run: string;
  readonly workflowId: string;
  readonly stage: string;
  readonly token: string;
  readonly until: 'upstream' | 'time' | 'decision';
  readonly code: string;
  readonly upstream: string | null;
  readonly since: Date;
}

/** Oldest first. */
export async function waitsLike(pool: Pool, filter: WaitFilter): Promise<Wait[]> {
  const { rows } = await pool.query<Wait>(
    `select p.run_key as run, p.workflow_id as "workflowId", p.stage, p.token, p.until, p.code, p.upstream, p.since
     from mendflow.parked_run p left join mendflow.run r on r.key = p.run_key
     where ($1::text is null or r.pipeline = $1) and ($2::text is null or p.code = $2) and ($3::text is null or p.class = $3)
       and ($4::text is null or p.upstream = $4) and ($5::timestamptz is null or p.since >= $5) and ($6 or p.until = 'decision')
       and not exists (select from mendflow.decision d where d.run_key = p.run_key and d.token = p.token and d.taken)
     order by p.since, p.run_key, p.stage limit $7`,
    [
      filter.pipeline ?? null,
      filter.code ?? null,
      filter.class ?? null,
      filter.upstream ?? null,
      filter.since ?? null,
      filter.alsoParked,
      filter.limit,
    ],
  );
  return rows;
}

/** Who waits for an upstream. */
export interface WaitsFor {
  /** Go on by themselves when its breaker admits them. */
  readonly parked: number;
  /** Of those, let go since its breaker admits calls again, and on their way. */
  readonly released: number;
  /** Ask a person about a failure of it. */
  readonly asking: number;
  readonly oldest: Date | null;
  /** When the first of them asks instead of waiting on. */
  readonly deadline: Date | null;
}

/** By upstream; an upstream for which nobody waits is not in it. */
export async function waitsByUpstream(pool: Pool): Promise<ReadonlyMap<string, WaitsFor>> {
  const { rows } = await pool.query<WaitsFor & { upstream: string }>(
    `select upstream, count(*) filter (where until = 'upstream')::int as parked,
       count(*) filter (where until = 'upstream' and released_epoch = b.epoch)::int as released,
       count(*) filter (where until = 'decision')::int as asking,
       min(since) filter (where until = 'upstream') as oldest, min(deadline_at) filter (where until = 'upstream') as deadline
     from mendflow.parked_run p left join mendflow.breaker b on b.key = p.upstream where upstream is not null group by 1`,
  );
  return new Map(rows.map(({ upstream, ...waits }) => [upstream, waits]));
}

export const nobodyWaits: WaitsFor = { parked: 0, released: 0, asking: 0, oldest: null, deadline: null };
