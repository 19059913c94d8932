// What lives here: how far the clocks of workers are from the database's.
// Invariant: for people only: nothing waits, compares or decides by what stands here.
// Apart from the statements about runs because it is about machines.
import type { Pool } from 'pg';

/** An answer that took longer says too little about when the database looked at its clock. */
const TRIP_MAX_MS = 2_000;
/** A worker that has not measured for so long has ended. */
const LIVE = `interval '3 minutes'`;

/** Measures this process's clock by the database's and keeps what it found. */
export async function tellClock(pool: Pool, worker: string): Promise<void> {
  const asked = Date.now();
  const begunAt = performance.now();
  const { rows } = await pool.query<{ now: number }>(
    'select extract(epoch from clock_timestamp())::float8 * 1000 as now',
  );
  const tripMs = performance.now() - begunAt;
  if (tripMs > TRIP_MAX_MS) return;
  const aheadMs = Math.round(asked + tripMs / 2 - rows[0]!.now);
  await pool.query(
    `with old as (delete from mendflow.worker_clock where measured_at < clock_timestamp() - interval '1 day' and worker <> $1)
     insert into mendflow.worker_clock (worker, ahead_ms) values ($1, $2)
     on conflict (worker) do update set ahead_ms = excluded.ahead_ms, measured_at = excluded.measured_at`,
    [worker, aheadMs],
  );
}

/** Workers that live and whose clocks are further than that from the database's, the worst first. */
export async function wrongClocks(pool: Pool, apartMs: number): Promise<{ worker: string; aheadMs: number }[]> {
  const { rows } = await pool.query<{ worker: string; aheadMs: number }>(
    `select worker, ahead_ms::float8 as "aheadMs" from mendflow.worker_clock
     where abs(ahead_ms) > $1 and measured_at > clock_timestamp() - ${LIVE} order by abs(ahead_ms) desc, worker`,
    [apartMs],
  );
  return rows;
}
