// What lives here: statements about runs, stages, attempts and decisions in the control store.
// Invariant: one function per statement; writing the same thing twice leaves one row; what is no longer current changes nothing.
// Apart from the ledger because losing a row here costs a line on a page, never a record.
import type { Pool, PoolClient } from 'pg';
import type { Failure } from '../model/failure.ts';
import type { StageFailure, Totals } from '../model/messages.ts';
import { inTransaction, withClient } from './db.ts';
import { endWriters, isLockTimeout, late, lockKey } from './lease.ts';

export interface RunIdentity {
  readonly runKey: string;
  readonly pipeline: string;
  readonly dataDate: string;
  readonly scope: string;
  readonly workflowId: string;
  readonly owner: string;
  readonly input: Readonly<Record<string, unknown>>;
  /** First execution of the chain that opens it. A script has none. */
  readonly execution?: string | undefined;
}

/** How to open. `isWanted`: whether anybody still waits for this attempt; asked under the lock of the run. A script is always wanted. */
export interface Opening {
  readonly force: boolean;
  readonly isWanted?: () => Promise<boolean>;
}

const TRIES_MAX = 3;

/**
 * Opens the run in the ledger, or says that it is done. A forced or repeated start of an ended run gets the next generation.
 * Fails with `fenced` if nobody waits for this attempt any more: an execution that is over opens nothing, however late it comes.
 */
export async function openRun(
  pool: Pool,
  run: RunIdentity,
  opening: Opening,
): Promise<{ generation: number; already?: Totals }> {
  for (let attempt = 1; ; attempt++)
    try {
      return await withClient(pool, (client) => inTransaction(client, () => openRow(client, run, opening)));
    } catch (error) {
      if (!isLockTimeout(error) || attempt >= TRIES_MAX) throw error;
    }
}

async function openRow(
  client: PoolClient,
  run: RunIdentity,
  { force, isWanted }: Opening,
): Promise<{ generation: number; already?: Totals }> {
  const execution = run.execution ?? null;
  await lockKey(client, run.runKey);
  await client.query(
    `insert into mendflow.run (key, pipeline, data_date, scope, state, workflow_id, owner, input, workflow_run)
     values ($1, $2, $3, $4, 'running', $5, $6, $7, $8) on conflict (key) do nothing`,
    [
      run.runKey,
      run.pipeline,
      run.dataDate,
      run.scope,
      run.workflowId,
      run.owner,
      JSON.stringify(run.input),
      execution,
    ],
  );
  const found = await client.query<{
    generation: number;
    state: string;
    closed: { totals?: Totals } | null;
    openedBy: string | null;
  }>(
    'select generation, state, closed, workflow_run as "openedBy" from mendflow.run where key = $1 for no key update',
    [run.runKey],
  );
  if (isWanted && !(await isWanted())) throw late(run.runKey);
  const { generation, state, closed, openedBy } = found.rows[0]!;
  const ended = state === 'done' || state === 'degraded';
  if (ended && !force)
    return {
      generation,
      already: closed?.totals ?? { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 },
    };
  const again = ended || state === 'aborted' || state === 'failed';
  const next = again ? generation + 1 : generation;
  // Whoever wrote for an execution before this one, or for a generation before, writes no more.
  if (again || openedBy !== execution) await endWriters(client, run.runKey);
  await client.query(
    `update mendflow.run set generation = $2, state = 'running', health = 'healthy', workflow_id = $3, owner = $4, input = $5, closed_at = null,
     opened_at = case when $6 then clock_timestamp() else opened_at end, workflow_run = $7 where key = $1`,
    [run.runKey, next, run.workflowId, run.owner, JSON.stringify(run.input), again, execution],
  );
  // What an execution that was terminated left waiting waits no more; whatever still has to will say so again.
  await client.query('delete from mendflow.parked_run where run_key = $1', [run.runKey]);
  await client.query('delete from mendflow.ended_park where run_key = $1', [run.runKey]);
  return { generation: next };
}

/** A stage as one attempt of it knows it. */
export interface StageAt {
  readonly runKey: string;
  readonly generation: number;
  readonly stage: string;
  /** First execution of the chain of the run. */
  readonly execution?: string | undefined;
  /** When Temporal scheduled the attempt, in ms since 1970. */
  readonly attemptAt: number;
}

const placeOf = ({ runKey, generation, stage, execution, attemptAt }: StageAt): unknown[] => [
  runKey,
  generation,
  stage,
  execution ?? null,
  attemptAt,
];
const isCurrent = 'mendflow.holds($1, $2, $4)';
const saidAt = 'to_timestamp($5::float8 / 1000)';

/** The late beginning of an attempt that has ended says nothing any more. */
export const writeStageStarted = (pool: Pool, at: StageAt, attempt: number, worker: string): Promise<unknown> =>
  pool.query(
    `insert into mendflow.stage_run (run_key, generation, stage, state, attempts, worker, attempt_at)
     select $1, $2, $3, 'running', $6::int, $7, ${saidAt} where ${isCurrent}
     on conflict (run_key, generation, stage) do update set state = 'running', attempts = greatest(stage_run.attempts, excluded.attempts), worker = excluded.worker,
       ended_at = null, attempt_at = excluded.attempt_at
     where stage_run.attempt_at < excluded.attempt_at or (stage_run.attempt_at = excluded.attempt_at and stage_run.ended_at is null)`,
    [...placeOf(at), attempt, worker],
  );

export const writeStageEnded = (
  pool: Pool,
  at: StageAt,
  ended: { readonly state: string; readonly attempt: number; readonly worker: string; readonly failed?: Failure },
): Promise<unknown> =>
  pool.query(
    `insert into mendflow.stage_run (run_key, generation, stage, state, attempts, worker, ended_at, code, class, text, attempt_at)
     select $1, $2, $3, $6, $7::int, $8, clock_timestamp(), $9, $10, $11, ${saidAt} where ${isCurrent}
     on conflict (run_key, generation, stage) do update set state = excluded.state, attempts = greatest(stage_run.attempts, excluded.attempts), worker = excluded.worker,
       ended_at = excluded.ended_at, code = coalesce(excluded.code, stage_run.code), class = coalesce(excluded.class, stage_run.class), text = coalesce(excluded.text, stage_run.text),
       attempt_at = excluded.attempt_at
     where stage_run.attempt_at <= excluded.attempt_at`,
    [
      ...placeOf(at),
      ended.state,
      ended.attempt,
      ended.worker,
      ended.failed?.code ?? null,
      ended.failed?.class ?? null,
      ended.failed?.text ?? null,
    ],
  );

/** A breaker refused the attempt, so it was none: the stage is as it was before. */
export const writeStageRefused = (pool: Pool, at: StageAt, attempt: number, failed: Failure): Promise<unknown> =>
  pool.query(
    `update mendflow.stage_run set state = 'parked', attempts = least(attempts, $6), ended_at = clock_timestamp(), code = $7, class = $8, text = $9
     where run_key = $1 and generation = $2 and stage = $3 and attempts <= $6 + 1 and attempt_at <= ${saidAt} and ${isCurrent}`,
    [...placeOf(at), attempt - 1, failed.code, failed.class, failed.text],
  );

/** `nextDelayMs` counts from now by the clock of the database. */
export const writeAttempt = (
  pool: Pool,
  at: StageAt,
  failed: {
    attempt: number;
    attemptsMax: number;
    ended: StageFailure;
    nextDelayMs: number | undefined;
    worker: string;
  },
): Promise<unknown> =>
  pool.query(
    `insert into mendflow.attempt (run_key, generation, stage, attempt, attempts_max, code, class, text, next_try_at, worker)
     select $1, $2, $3, $6::int, $7::int, $8, $9, $10, clock_timestamp() + $11::float8 * interval '1 millisecond', $12
     where ${isCurrent} and not exists (select from mendflow.stage_run where run_key = $1 and generation = $2 and stage = $3 and attempt_at > ${saidAt})`,
    [
      ...placeOf(at),
      failed.attempt,
      failed.attemptsMax,
      failed.ended.failure.code,
      failed.ended.failure.class,
      failed.ended.failure.text,
      failed.nextDelayMs ?? null,
      failed.worker,
    ],
  );

export interface DecisionRow {
  readonly stage: string;
  readonly token: string;
  readonly kind: string;
  readonly actor: string;
  readonly reason: string;
  readonly taken: boolean;
  readonly text: string;
  readonly at: number;
}

/** A repeated attempt of the same batch adds nothing. */
export const writeDecisions = (pool: Pool, runKey: string, rows: readonly DecisionRow[]): Promise<unknown> =>
  pool.query(
    `insert into mendflow.decision (run_key, stage, token, kind, actor, reason, taken, text, at)
     select $1, r.stage, r.token, r.kind, r.actor, r.reason, r.taken, r.text, to_timestamp(r.at / 1000.0)
     from jsonb_to_recordset($2::jsonb) as r(stage text, token text, kind text, actor text, reason text, taken bool, text text, at float8)
     on conflict do nothing`,
    [runKey, JSON.stringify(rows.map((row) => ({ ...row, reason: clean(row.reason), actor: clean(row.actor) })))],
  );

/** Texts from outside may hold what jsonb cannot: NUL and lone surrogates. */
const clean = (text: string): string => text.replaceAll('\u0000', '').toWellFormed();

/** What was decided about a stage stands, whatever an attempt before the decision says later. */
export const writeStageState = (pool: Pool, at: StageAt, state: string): Promise<unknown> =>
  pool.query(
    `update mendflow.stage_run set state = $6, ended_at = clock_timestamp(), attempt_at = ${saidAt}
     where run_key = $1 and generation = $2 and stage = $3 and attempt_at <= ${saidAt}
       and (attempt_at, state) is distinct from (${saidAt}, $6) and ${isCurrent}`,
    [...placeOf(at), state],
  );
