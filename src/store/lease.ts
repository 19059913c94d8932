// What lives here: who may write for a stage of a run, and taking that right over from whoever had it.
// Invariant: after a take-over no earlier holder can commit, and everything it did commit is visible to the ledger read that follows.
// Apart because the order of these steps is the whole of exactly-once: in any other order it hangs, or loads twice.
import type pg from 'pg';
import { CodedError } from '../model/failure.ts';
import { shortHash } from '../model/ids.ts';
import { commit, type Db, inTransaction, limitsMs, rollback } from './db.ts';
import { hit } from './failpoint.ts';

/** Who asks for a lease, and for how many parallel connections. */
export interface LeaseWish {
  readonly runKey: string;
  /** With the name of the single call, such as `ingest[a.log]`. */
  readonly stage: string;
  /** Which reprocessing of the run it writes for. */
  readonly generation?: number;
  /** First execution of the chain of the run. A script has none. */
  readonly execution?: string | undefined;
  readonly lanes: number;
  /** When Temporal scheduled the attempt, in ms since 1970. */
  readonly attemptAt: number;
  /** `host:pid`, for people. */
  readonly holder: string;
}

export interface Lease {
  readonly runKey: string;
  readonly stage: string;
  readonly lanes: number;
  /** A decimal number. */
  readonly epoch: string;
  readonly token: string;
  /** `application_name` of all connections that write under this lease; the successor ends them by it. */
  readonly applicationName: string;
}

const TRIES_MAX = 3;

/** Name of the connection that takes the lease: like the lanes of an epoch that never is, so that a successor ends it too. */
export const controlName = (runKey: string, stage: string): string => `${backendsOf(runKey, stage)}:0`;

/** Names are capped by Postgres at 63 bytes, run keys are not; hence the hash. */
const backendsOf = (runKey: string, stage: string): string => `mf:${shortHash(`${runKey}\n${stage}`)}`;

/**
 * Takes the lease: ends the connections of earlier holders, waits for a commit of theirs that is in doubt, and raises the epoch.
 * The ledger may be read only after it returns, in a new statement.
 * Fails with `fenced` if a newer attempt holds it, `run_closed` if the run is, and `lease_held` (delayed) if an old connection does not end.
 */
export async function takeLease(client: pg.ClientBase, wish: LeaseWish): Promise<Lease> {
  await refuseIfNewer(client, wish);
  for (let attempt = 1; ; attempt++) {
    await endBackends(client, [backendsOf(wish.runKey, wish.stage)], wish);
    hit('lease.afterTerminate');
    try {
      const lease = await inTransaction(client, () => bump(client, wish));
      hit('lease.afterBump');
      return lease;
    } catch (error) {
      if (!isLockTimeout(error)) throw error;
      if (attempt >= TRIES_MAX) throw held(wish.runKey, wish.stage, error);
    }
  }
}

export const isLockTimeout = (error: unknown): boolean => (error as { code?: unknown }).code === '55P03';

export const held = (runKey: string, stage: string, cause: unknown): CodedError =>
  new CodedError(
    'lease_held',
    `An earlier writer of ${stage} in ${runKey} still holds its lock after ${TRIES_MAX} tries to end its connection. ` +
      "Nothing was written. It is tried again; if it stays, end the backend in Postgres: select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'mf:%'",
    { cause },
  );

/** Looked at before anything is ended: an older attempt must not shoot down the connections of a newer one. */
async function refuseIfNewer(db: Db, wish: LeaseWish): Promise<void> {
  const { rows } = await db.query<{ holder: string }>(
    `select holder from mendflow.lease where run_key = $1 and stage = $2 and attempt_at > to_timestamp($3::float8 / 1000) limit 1`,
    [wish.runKey, wish.stage, wish.attemptAt],
  );
  if (rows[0]) throw newer(wish, rows[0].holder);
}

const newer = (wish: LeaseWish, holder: string): CodedError =>
  new CodedError(
    'fenced',
    `A newer attempt of ${wish.stage} in ${wish.runKey} is at work (${holder}). This attempt wrote nothing and ends.`,
  );

/** Who ends connections. A wish besides names the attempt: of two the newer one may end the other's. */
type Ending = Pick<LeaseWish, 'runKey' | 'generation' | 'execution'> & Partial<Pick<LeaseWish, 'stage' | 'attemptAt'>>;

/**
 * Ends every connection of these leases, whatever its epoch, and waits up to 5 s for each to be gone. Whoever is replaced ends none:
 * that is asked in the same statement, because an attempt may be stopped between any two.
 */
async function endBackends(db: Db, leases: readonly string[], by: Ending): Promise<void> {
  await db.query(
    `select pg_terminate_backend(pid, 5000) from pg_stat_activity
     where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
       and regexp_replace(application_name, ':[0-9]+$', '') = any ($1::text[]) and application_name like 'mf:%'
       and ($3::int is null or exists (select from mendflow.run where key = $2 and (workflow_run is null or (generation = $3 and workflow_run = $4))))
       and not exists (select from mendflow.lease where run_key = $2 and stage = $5 and attempt_at > to_timestamp($6::float8 / 1000))`,
    [leases, by.runKey, by.generation ?? null, by.execution ?? null, by.stage ?? null, by.attemptAt ?? null],
  );
}

/** Nobody can commit under a lease of this run any more, in the caller's transaction, which has the lock of the run. */
export async function endWriters(client: pg.ClientBase, runKey: string): Promise<void> {
  await endBackends(client, await leasesOf(client, runKey), { runKey });
  await raiseEpochs(client, runKey);
}

const raiseEpochs = (client: pg.ClientBase, runKey: string): Promise<unknown> =>
  client.query('update mendflow.lease set epoch = epoch + 1, token = gen_random_uuid() where run_key = $1', [runKey]);

async function leasesOf(db: Db, runKey: string): Promise<string[]> {
  const { rows } = await db.query<{ stage: string }>('select distinct stage from mendflow.lease where run_key = $1', [
    runKey,
  ]);
  return rows.map(({ stage }) => backendsOf(runKey, stage));
}

/** Opening, closing and settling a run wait for each other, also while it has no row yet. */
export const lockKey = (client: pg.ClientBase, runKey: string): Promise<unknown> =>
  client.query(`select pg_advisory_xact_lock(hashtextextended('mendflow.run ' || $1, 0))`, [runKey]);

/** Of an attempt that was replaced, or whose execution is over. */
export const late = (runKey: string): CodedError =>
  new CodedError(
    'fenced',
    `Run ${runKey} has gone on without this attempt: it was replaced, has ended, or was opened anew. This attempt changed nothing and ends.`,
  );

/** Lane 0 is locked first by everybody, so that two takers queue instead of deadlocking; the rest is read in a newer snapshot. */
async function bump(client: pg.ClientBase, wish: LeaseWish): Promise<Lease> {
  const { runKey, stage, lanes, attemptAt, holder } = wish;
  await client.query(`set local lock_timeout = ${limitsMs.lock}`);
  await refuseIfClosed(client, wish);
  await client.query(
    `insert into mendflow.lease (run_key, stage, lane, epoch, token, attempt_at, holder)
     values ($1, $2, 0, 0, gen_random_uuid(), '-infinity', $3) on conflict do nothing`,
    [runKey, stage, holder],
  );
  await client.query('select from mendflow.lease where run_key = $1 and stage = $2 and lane = 0 for update', [
    runKey,
    stage,
  ]);
  await refuseIfNewer(client, wish);
  const { rows } = await client.query<{ epoch: string; token: string }>(
    `with next as (select max(epoch) + 1 as epoch, gen_random_uuid() as token from mendflow.lease where run_key = $1 and stage = $2)
     , old as (update mendflow.lease l set epoch = next.epoch, token = next.token, attempt_at = to_timestamp($4::float8 / 1000), holder = $5
               from next where run_key = $1 and stage = $2 returning lane)
     , new as (insert into mendflow.lease (run_key, stage, lane, epoch, token, attempt_at, holder)
               select $1, $2, lane, next.epoch, next.token, to_timestamp($4::float8 / 1000), $5
               from next, generate_series(1, $3::int - 1) lane on conflict do nothing returning lane)
     select epoch, token from next`,
    [runKey, stage, lanes, attemptAt, holder],
  );
  const { epoch, token } = rows[0]!;
  return { runKey, stage, lanes, epoch, token, applicationName: `${backendsOf(runKey, stage)}:${epoch}` };
}

/** Whether the run takes writes of this generation and execution, held until the end of the transaction. */
export async function refuseIfClosed(
  client: Db,
  { runKey, generation, execution }: Pick<LeaseWish, 'runKey' | 'generation' | 'execution'>,
): Promise<void> {
  const { rows } = await client.query<{ state: string; ours: boolean }>(
    `select state, workflow_run is null or $2::int is null or (generation = $2 and workflow_run = $3) as ours from mendflow.run where key = $1 for share`,
    [runKey, generation ?? null, execution ?? null],
  );
  if (rows[0]?.ours === false) throw late(runKey);
  if (rows[0] && ['done', 'degraded', 'aborted', 'failed'].includes(rows[0].state))
    throw new CodedError(
      'run_closed',
      `Run ${runKey} is ${rows[0].state}; nothing was written. To load it again, start it with --force.`,
    );
}

/** Last statement of every writing transaction. Fails with MF001 (`fenced`) if the lease was taken over. */
export async function fence(client: pg.ClientBase, lease: Lease, lane: number): Promise<void> {
  await client.query({
    name: 'mf_fence',
    text: 'select mendflow.fence($1, $2, $3::smallint, $4::bigint, $5::uuid)',
    values: [lease.runKey, lease.stage, lane, lease.epoch, lease.token],
  });
}

/** How a run is ended. */
export interface Exclusive<T> {
  /** Whose writers end; without a generation, whoever's they are. */
  readonly by: Pick<LeaseWish, 'generation' | 'execution'>;
  /** Under the lock of the run, before anybody is kept from writing: what there is to say if there is nothing to do. What it throws ends this. */
  readonly early: () => Promise<{ readonly value: T } | undefined>;
  readonly body: () => Promise<{ readonly keep: boolean; readonly value: T }>;
}

/**
 * Runs the body in a transaction in which no stage of the run can commit any more: all its writers are ended, and all epochs raised.
 * If the body says `false`, everything is undone and the writers may go on. Fails with `lease_held` as taking a lease does.
 */
export async function withoutWriters<T>(client: pg.ClientBase, runKey: string, end: Exclusive<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    await endBackends(client, await leasesOf(client, runKey), { runKey, ...end.by });
    try {
      return await excluded(client, runKey, end);
    } catch (error) {
      if (!isLockTimeout(error)) throw error;
      if (attempt >= TRIES_MAX) throw held(runKey, 'a stage', error);
    }
  }
}

async function excluded<T>(client: pg.ClientBase, runKey: string, { early, body }: Exclusive<T>): Promise<T> {
  await client.query('begin isolation level read committed');
  let done: { keep: boolean; value: T };
  try {
    await client.query(`set local lock_timeout = ${limitsMs.lock}`);
    await lockKey(client, runKey);
    await client.query('select from mendflow.run where key = $1 for no key update', [runKey]);
    const said = await early();
    if (!said) await raiseEpochs(client, runKey);
    done = said ? { keep: false, ...said } : await body();
  } catch (error) {
    await rollback(client);
    throw error;
  }
  if (done.keep) await commit(client);
  else await rollback(client);
  return done.value;
}
