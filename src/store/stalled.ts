// What lives here: statements about runs that stall: their workflow task fails at every try.
// Invariant: a row says what watch saw in its last round; a run that goes on has none.
// Apart from the statements about runs because a run that stalls cannot write about itself.
import type { Pool } from 'pg';

export interface Stalled {
  readonly workflowId: string;
  readonly run: string;
  readonly cause: 'other_code' | 'code_bug' | 'too_large' | 'timed_out' | 'failing';
  readonly text: string;
  readonly mend: string;
  readonly attempts: number;
  readonly since: Date;
}

/** Writes those that stall, and forgets those that go on or have ended. */
export async function writeStalled(pool: Pool, found: readonly Stalled[], over: readonly string[]): Promise<void> {
  for (const { workflowId, run, cause, text, mend, attempts, since } of found)
    await pool.query(
      `insert into mendflow.stalled_run (workflow_id, run_key, cause, text, mend, attempts, since) values ($1, $2, $3, $4, $5, $6, $7)
       on conflict (workflow_id) do update set cause = excluded.cause, text = excluded.text, mend = excluded.mend, attempts = excluded.attempts,
         since = excluded.since, seen_at = clock_timestamp()`,
      [workflowId, run, cause, text, mend, attempts, since],
    );
  if (over.length > 0) await pool.query('delete from mendflow.stalled_run where workflow_id = any ($1)', [over]);
}

/** Workflows of runs under way, any of them: looked at again and again, all come up. */
export async function someUnderWay(pool: Pool, limit: number): Promise<string[]> {
  const { rows } = await pool.query<{ workflowId: string }>(
    `select workflow_id as "workflowId" from mendflow.run where state in ('running', 'parked', 'asking') and workflow_id is not null
     order by (state = 'running') desc, random() limit $1`,
    [limit],
  );
  return rows.map(({ workflowId }) => workflowId);
}

/** Those that stall, or the given run if it does; longest first. */
export async function listStalled(pool: Pool, limit: number, run?: string): Promise<Stalled[]> {
  const { rows } = await pool.query<Stalled>(
    `select workflow_id as "workflowId", run_key as run, cause, text, mend, attempts, since from mendflow.stalled_run
     where $2::text is null or run_key = $2 order by since, workflow_id limit $1`,
    [limit, run ?? null],
  );
  return rows;
}

export const removeStalled = (pool: Pool, workflowId: string): Promise<unknown> =>
  pool.query('delete from mendflow.stalled_run where workflow_id = $1', [workflowId]);
