// What lives here: statements about runs, stages, attempts and decisions in the control store.
// Invariant: one function per statement; writing the same thing twice leaves one row.
// Apart from the ledger because losing a row here costs a line on a page, never a record.
import type { Pool } from 'pg';
import type { Failure } from '../model/failure.ts';
import type { StageFailure, Totals } from '../model/messages.ts';
import { type Db, inTransaction, withClient } from './db.ts';

export interface RunIdentity {
  readonly runKey: string;
  readonly pipeline: string;
  readonly dataDate: string;
  readonly scope: string;
  readonly workflowId: string;
  readonly owner: string;
  readonly input: Readonly<Record<string, unknown>>;
}

/** Opens the run in the ledger, or says that it is done. A forced or repeated start of an ended run gets the next generation. */
export async function openRun(
  pool: Pool,
  run: RunIdentity,
  force: boolean,
): Promise<{ generation: number; already?: Totals }> {
  return await withClient(pool, (client) => inTransaction(client, () => openRow(client, run, force)));
}

async function openRow(
  client: Db,
  run: RunIdentity,
  force: boolean,
): Promise<{ generation: number; already?: Totals }> {
  // The first of two concurrent starts inserts; the second waits on the key and finds the row.
  await client.query(
    `insert into mendflow.run (key, pipeline, data_date, scope, state, workflow_id, owner, input)
     values ($1, $2, $3, $4, 'running', $5, $6, $7) on conflict (key) do nothing`,
    [run.runKey, run.pipeline, run.dataDate, run.scope, run.workflowId, run.owner, JSON.stringify(run.input)],
  );
  const found = await client.query<{ generation: number; state: string; closed: { totals?: Totals } | null }>(
    'select generation, state, closed from mendflow.run where key = $1 for update',
    [run.runKey],
  );
  const { generation, state, closed } = found.rows[0]!;
  const ended = state === 'done' || state === 'degraded';
  if (ended && !force)
    return {
      generation,
      already: closed?.totals ?? { read: 0, loaded: 0, duplicate: 0, quarantined: 0, skipped: 0 },
    };
  const again = ended || state === 'aborted' || state === 'failed';
  const next = again ? generation + 1 : generation;
  await client.query(
    `update mendflow.run set generation = $2, state = 'running', health = 'healthy', workflow_id = $3, owner = $4, input = $5, closed_at = null,
     opened_at = case when $6 then clock_timestamp() else opened_at end where key = $1`,
    [run.runKey, next, run.workflowId, run.owner, JSON.stringify(run.input), again],
  );
  // What an execution that was terminated left waiting waits no more; whatever still has to will say so again.
  await client.query('delete from mendflow.parked_run where run_key = $1', [run.runKey]);
  return { generation: next };
}

interface StageAt {
  readonly runKey: string;
  readonly generation: number;
  readonly stage: string;
}

export const writeStageStarted = (pool: Pool, at: StageAt, attempt: number, worker: string): Promise<unknown> =>
  pool.query(
    `insert into mendflow.stage_run (run_key, generation, stage, state, attempts, worker) values ($1, $2, $3, 'running', $4, $5)
     on conflict (run_key, generation, stage) do update set state = 'running', attempts = greatest(stage_run.attempts, excluded.attempts), worker = excluded.worker, ended_at = null
     where stage_run.attempts < excluded.attempts or stage_run.ended_at is null`,
    [at.runKey, at.generation, at.stage, attempt, worker],
  );

export const writeStageEnded = (
  pool: Pool,
  at: StageAt,
  state: string,
  attempt: number,
  worker: string,
  failed?: Failure,
): Promise<unknown> =>
  pool.query(
    `insert into mendflow.stage_run (run_key, generation, stage, state, attempts, worker, ended_at, code, class, text)
     values ($1, $2, $3, $4, $5, $6, clock_timestamp(), $7, $8, $9)
     on conflict (run_key, generation, stage) do update set state = excluded.state, attempts = greatest(stage_run.attempts, excluded.attempts), worker = excluded.worker,
       ended_at = excluded.ended_at, code = coalesce(excluded.code, stage_run.code), class = coalesce(excluded.class, stage_run.class), text = coalesce(excluded.text, stage_run.text)`,
    [
      at.runKey,
      at.generation,
      at.stage,
      state,
      attempt,
      worker,
      failed?.code ?? null,
      failed?.class ?? null,
      failed?.text ?? null,
    ],
  );

/** A breaker refused the attempt, so it was none: the stage is as it was before. */
export const writeStageRefused = (pool: Pool, at: StageAt, attempt: number, failed: Failure): Promise<unknown> =>
  pool.query(
    `update mendflow.stage_run set state = 'parked', attempts = least(attempts, $4), ended_at = clock_timestamp(), code = $5, class = $6, text = $7
     where run_key = $1 and generation = $2 and stage = $3 and attempts <= $4 + 1`,
    [at.runKey, at.generation, at.stage, attempt - 1, failed.code, failed.class, failed.text],
  );

export const writeAttempt = (
  pool: Pool,
  at: StageAt,
  failed: { attempt: number; attemptsMax: number; ended: StageFailure; nextTryAt: number | undefined; worker: string },
): Promise<unknown> =>
  pool.query(
    `insert into mendflow.attempt (run_key, generation, stage, attempt, attempts_max, code, class, text, next_try_at, worker)
     values ($1, $2, $3, $4, $5, $6, $7, $8, to_timestamp($9::float8 / 1000), $10)`,
    [
      at.runKey,
      at.generation,
      at.stage,
      failed.attempt,
      failed.attemptsMax,
      failed.ended.failure.code,
      failed.ended.failure.class,
      failed.ended.failure.text,
      failed.nextTryAt ?? null,
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

export const writeStageState = (pool: Pool, runKey: string, stage: string, state: string): Promise<unknown> =>
  pool.query(
    `update mendflow.stage_run set state = $3, ended_at = clock_timestamp() where run_key = $1 and stage = $2
     and generation = (select generation from mendflow.run where key = $1)`,
    [runKey, stage, state],
  );

/** The run has ended: what was under way or waiting in it ended with it. */
export const endOpenStages = (pool: Pool, runKey: string): Promise<unknown> =>
  pool.query(
    `update mendflow.stage_run set state = 'aborted', ended_at = clock_timestamp() where run_key = $1 and state in ('running', 'retrying', 'parked', 'asking')
     and generation = (select generation from mendflow.run where key = $1)`,
    [runKey],
  );
