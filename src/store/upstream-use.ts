// What lives here: what each worker says of the upstreams it uses.
// Invariant: a worker writes its own rows only, and only what may be shown; a row that nobody has renewed for a minute is of no living worker.
// Apart from breakers, which all workers share: addresses and secrets are each worker's own.
import type { UpstreamInUse } from '../model/upstream-in-use.ts';
import type { Db } from './db.ts';

export interface UpstreamUse {
  readonly worker: string;
  readonly key: string;
  readonly declared: UpstreamInUse;
  /** Since when it uses it so. */
  readonly since: Date;
}

/** Longest time between two rows of a living worker, with room for a slow store. */
const ALIVE = `interval '1 minute'`;

/** Says what this worker uses now; a change begins a new `since`. Rows of workers that were killed are forgotten after a day. */
export async function publishUses(
  db: Db,
  worker: string,
  uses: Readonly<Record<string, UpstreamInUse>>,
): Promise<void> {
  const rows = Object.entries(uses).map(([key, declared]) => ({ key, declared }));
  await db.query(
    `with gone as (delete from mendflow.upstream_use where seen_at < clock_timestamp() - interval '1 day' and worker <> $1)
     insert into mendflow.upstream_use as u (worker, key, declared)
     select $1, r.key, r.declared from jsonb_to_recordset($2::jsonb) as r(key text, declared jsonb)
     on conflict (worker, key) do update set seen_at = clock_timestamp(), declared = excluded.declared,
       since = case when u.declared = excluded.declared then u.since else clock_timestamp() end`,
    [worker, JSON.stringify(rows)],
  );
}

/** This worker is at its end: it uses nothing any more, and what it was answered is no witness that an upstream is well. */
export const forgetUses = async (db: Db, worker: string): Promise<unknown> =>
  await db.query(
    'with gone as (delete from mendflow.upstream_use where worker = $1) select mendflow.breaker_leave($1)',
    [worker],
  );

/** What living workers use, by upstream, the longest use first. */
export async function listUses(db: Db): Promise<UpstreamUse[]> {
  const { rows } = await db.query<UpstreamUse>(
    `select worker, key, declared, since from mendflow.upstream_use where seen_at > clock_timestamp() - ${ALIVE} order by key, since, worker`,
  );
  return rows;
}
