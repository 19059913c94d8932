// What lives here: the statements that calls in flight make about their breaker: trials, reports, slots, and the copy a process keeps.
// Invariant: one short statement each; what comes back holds spans, never times of the database's clock.
// Apart from breakers.ts, which people and recovery use: these are quick, and whoever uses them can go on without.
import type { Cause } from '../model/breaker-evidence.ts';
import type { BreakerState, Effect, Look, Mode, Report, StateName } from '../model/breaker.ts';
import type { BreakerSettings } from '../model/upstream.ts';
import type { Db } from './db.ts';

/** The answer to a call that asks. */
export interface Acquired {
  readonly allow: boolean;
  readonly why: Look['why'];
  readonly epoch: number;
  /** Set if the call is a trial. */
  readonly token?: string;
  readonly retryMs: number;
}

/** Asks to call. Fails only with the store. */
export async function acquireBreaker(
  db: Db,
  key: string,
  worker: string,
  print: string | undefined,
  decided: boolean,
): Promise<Acquired> {
  const { rows } = await db.query<{
    allow: boolean;
    why: Look['why'];
    epoch: number;
    token: string | null;
    retry: number;
  }>(
    `select allow, st as why, ep::float8 as epoch, tok as token, retry_ms::float8 as retry from mendflow.breaker_acquire($1, $2, $3, $4)`,
    [key, worker, print ?? null, decided],
  );
  const { allow, why, epoch, token, retry } = rows[0]!;
  return { allow, why, epoch, retryMs: retry, ...(token === null ? {} : { token }) };
}

/** Tells how calls ended. */
export async function reportBreaker(
  db: Db,
  key: string,
  told: Report,
): Promise<{ state: StateName; epoch: number; effect: Effect }> {
  const { rows } = await db.query<{ state: StateName; epoch: number; effect: Effect }>(
    `select st as state, ep::float8 as epoch, effect
     from mendflow.breaker_report($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
    [
      key,
      told.epoch,
      told.token ?? null,
      told.worker,
      told.ok ?? 0,
      told.fail ?? 0,
      told.slow ?? 0,
      told.ended ?? 0,
      told.tail ?? 0,
      Math.ceil(told.gateMs ?? 0),
      Math.ceil(told.waitMs ?? 0),
      told.hold ?? null,
      told.print ?? null,
      told.calls?.map(({ about, by = '' }) => `${about}:${by}`) ?? null,
      told.okBy ?? null,
      told.okOthers ?? false,
      told.cause === undefined ? null : JSON.stringify(told.cause),
    ],
  );
  return rows[0]!;
}

/** Time slots of a paced upstream. */
export interface Slots {
  /** Until the first, from when the database answered. */
  readonly waitMs: number;
  /** From each to the next. */
  readonly spacingMs: number;
  /** The clock of the database when it answered, ms since 1970. */
  readonly at: number;
}

/** Reserves time slots, none before `leadMs`. */
export async function reserveSlots(
  db: Db,
  key: string,
  slots: number,
  callsPerSecond: number,
  leadMs: number,
): Promise<Slots> {
  const { rows } = await db.query<Slots>(
    `select wait_ms as "waitMs", spacing_ms as "spacingMs", at_ms as at from mendflow.breaker_pace($1, $2, $3, $4)`,
    [key, slots, callsPerSecond, leadMs],
  );
  return rows[0]!;
}

/** What one process keeps of one breaker. */
export interface Copy {
  readonly key: string;
  /** Made for the process's own clock: `now` as it was when asked for. */
  readonly state: BreakerState;
  /** Figures of the last transition and who set the mode, for the text of a refusal. */
  readonly last: { readonly reason?: string; readonly detail?: Readonly<Record<string, unknown>> };
  readonly modeBy?: string;
  readonly modeWhy?: string;
  /** The last failure. */
  readonly cause?: Cause;
}

interface CopyRow {
  key: string;
  cfg: BreakerSettings;
  mode: Mode;
  mode_left: number | null;
  mode_by: string | null;
  mode_why: string | null;
  hold: string | null;
  hold_print: string | null;
  state: StateName;
  epoch: number;
  streak: number;
  consec: number;
  open_left: number | null;
  gate_left: number | null;
  age: number;
  ok_by: string | null;
  ok_age: number | null;
  ok_other_age: number | null;
  cause: Cause | null;
  reason: string | null;
  detail: Record<string, unknown> | null;
}

/** Reads breakers as they are now. `now` is asked once the answer is there: a copy rather waits a moment too long than too short. */
export async function readCopies(db: Db, keys: readonly string[], now: () => number): Promise<Copy[]> {
  const { rows } = await db.query<CopyRow>(
    `select b.key, b.cfg, b.mode, extract(epoch from b.mode_until - t.now)::float8 * 1000 as mode_left, b.mode_by, b.mode_why, b.hold, b.hold_print,
       b.state, b.epoch::float8 as epoch, b.streak, b.consec, extract(epoch from b.open_until - t.now)::float8 * 1000 as open_left,
       extract(epoch from b.gate_until - t.now)::float8 * 1000 as gate_left, extract(epoch from t.now - b.changed_at)::float8 * 1000 as age,
       b.ok_by, extract(epoch from t.now - b.ok_at)::float8 * 1000 as ok_age, extract(epoch from t.now - b.ok_other_at)::float8 * 1000 as ok_other_age, b.cause,
       last.reason, last.detail
     from (select mendflow.clk() as now) t cross join mendflow.breaker b
       left join lateral (select e.reason, e.detail from mendflow.breaker_event e where e.key = b.key and e.kind = 'move' order by e.id desc limit 1) last on true
     where b.key = any($1)`,
    [keys],
  );
  const at = now();
  return rows.map((row) => copyOf(row, at));
}

function copyOf(row: CopyRow, now: number): Copy {
  const since = (age: number | null): number | undefined => (age === null ? undefined : now - age);
  const until = (left: number | null): number | undefined => (left === null ? undefined : now + left);
  return {
    key: row.key,
    state: {
      settings: row.cfg,
      mode: row.mode,
      modeUntil: until(row.mode_left),
      hold: row.hold === null ? undefined : { code: row.hold, print: row.hold_print ?? undefined },
      state: row.state,
      epoch: row.epoch,
      streak: row.streak,
      consecutive: row.consec,
      reissues: 0,
      changedAt: now - row.age,
      openUntil: until(row.open_left),
      gateUntil: until(row.gate_left),
      buckets: [],
      trials: [],
      failing: [],
      okBy: row.ok_by ?? undefined,
      okAt: since(row.ok_age),
      okOtherAt: since(row.ok_other_age),
    },
    ...(row.cause === null ? {} : { cause: row.cause }),
    last: row.reason === null ? {} : { reason: row.reason, detail: row.detail ?? {} },
    ...(row.mode_by === null ? {} : { modeBy: row.mode_by }),
    ...(row.mode_why === null ? {} : { modeWhy: row.mode_why }),
  };
}

/** How many workers listen now: by how many a worker divides what all may do, while it cannot ask. */
export async function countListeners(db: Db, applicationName: string): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity where application_name = $1 and datname = current_database()`,
    [applicationName],
  );
  return Math.max(1, rows[0]!.n);
}
