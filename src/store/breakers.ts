// What lives here: statements about breakers, as operators, parks and recovery use them.
// Invariant: one function per statement; only the database's clock counts, so every time is asked for and answered as a span in ms.
// Apart from the statements of a call in flight (connectors/upstream/), which have to be quick and may be missing for a while.
import type { Pool } from 'pg';
import type { Cause } from '../model/breaker-evidence.ts';
import { CodedError } from '../model/failure.ts';
import { breakerSettingsOf, type BreakerSettings, type Upstreams } from '../model/upstream.ts';
import { type Db, withClient } from './db.ts';

export type BreakerStateName = 'closed' | 'open' | 'half_open' | 'ramping';
export type BreakerMode = 'auto' | 'forced_open' | 'forced_closed' | 'observe';

/** What a call would be told now. */
export interface Admission {
  readonly admit: boolean;
  /** Admitted as a leased trial only. */
  readonly trial: boolean;
  readonly state: BreakerStateName;
  /** The state, or what stands above it: `forced_open`, `throttled`, `hold`. */
  readonly why: string;
  readonly epoch: number;
  /** When asking again makes sense, in ms; 0 if admitted. */
  readonly retryMs: number;
  /** As declared; undefined where calls are not paced. */
  readonly callsPerSecond?: number;
}

/** One breaker, for people and for recovery. Times are ms since 1970 by the clock of the database, `…Ms` are spans. */
export interface BreakerRow extends Admission {
  readonly key: string;
  readonly mode: BreakerMode;
  /** Left of the mode, in ms; undefined where it does not end. */
  readonly modeLeftMs?: number;
  readonly modeUntil?: number;
  readonly modeBy?: string;
  readonly modeWhy?: string;
  /** Code of the fault that holds it, such as `http_401`. */
  readonly hold?: string;
  readonly streak: number;
  readonly consecutive: number;
  readonly changedAt: number;
  /** Since when it is as people read it: of a mode that somebody set, when that was. */
  readonly sinceAt: number;
  /** How long ago, by the clock of the database. */
  readonly changedMs: number;
  /** Left of the cooldown, in ms. */
  readonly openLeftMs?: number;
  /** When it is over: read twice, it is the same moment. */
  readonly openUntil?: number;
  /** Left of the gate that the upstream asked for, in ms. */
  readonly gateLeftMs?: number;
  readonly gateUntil?: number;
  readonly window: { readonly calls: number; readonly fail: number; readonly slow: number; readonly callers: number };
  readonly settings: Partial<BreakerSettings> & { readonly callsPerSecond?: number };
  /** The last failure, of whatever caller. */
  readonly cause?: Cause & { readonly when: number };
}

export interface BreakerEventRow {
  readonly kind: 'move' | 'mode' | 'gate';
  readonly epoch: number;
  readonly from: BreakerStateName;
  readonly to: BreakerStateName;
  readonly reason: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly at: number;
}

/** Writes the declared settings; a row that is not there yet begins closed. Nothing else of a row is touched. */
export async function declareBreakers(db: Db, declared: Upstreams): Promise<void> {
  const rows = Object.entries(declared).map(([key, one]) => ({
    key,
    cfg: {
      ...breakerSettingsOf(one),
      ...(one.callsPerSecond === undefined ? {} : { callsPerSecond: one.callsPerSecond }),
    },
  }));
  // Sorted, so that two workers starting at once take the locks in one order.
  rows.sort((a, b) => (a.key < b.key ? -1 : 1));
  await db.query(
    `insert into mendflow.breaker as b (key, cfg)
     select r.key, r.cfg from jsonb_to_recordset($1::jsonb) as r(key text, cfg jsonb)
     on conflict (key) do update set cfg = excluded.cfg where b.cfg <> excluded.cfg`,
    [JSON.stringify(rows)],
  );
}

const shown = `
  select b.key, mendflow.breaker_mode(b, t.now) as mode, b.mode_by, b.mode_why, b.hold, b.streak, b.consec, b.cfg,
    b.cause, extract(epoch from b.cause_at)::float8 * 1000 as cause_at,
    extract(epoch from b.changed_at)::float8 * 1000 as changed_at, extract(epoch from t.now - b.changed_at)::float8 * 1000 as changed_ms,
    case when mendflow.breaker_mode(b, t.now) <> 'auto' then (select extract(epoch from e.at)::float8 * 1000
      from mendflow.breaker_event e where e.key = b.key and e.kind = 'mode' order by e.id desc limit 1) end as mode_at,
    mendflow.ms_of(b.mode_until - t.now)::float8 as mode_left, mendflow.ms_of(b.open_until - t.now)::float8 as open_left,
    mendflow.ms_of(b.gate_until - t.now)::float8 as gate_left,
    extract(epoch from b.mode_until)::float8 * 1000 as mode_until, extract(epoch from b.open_until)::float8 * 1000 as open_until,
    extract(epoch from b.gate_until)::float8 * 1000 as gate_until,
    look.admit, look.trial, look.st as why, look.retry_ms::float8 as retry_ms, b.state, b.epoch::float8 as epoch,
    (b.cfg ->> 'callsPerSecond')::float8 as calls_per_second,
    w.calls::float8 as calls, w.fail::float8 as fail, w.slow::float8 as slow, w.callers
  from (select mendflow.clk() as now) t cross join mendflow.breaker b
    cross join lateral mendflow.breaker_look(b, t.now, null, false) look
    cross join lateral mendflow.breaker_window(b, t.now) w`;

/** All breakers by key. */
export async function listBreakers(db: Db): Promise<BreakerRow[]> {
  const { rows } = await db.query<ShownRow>(`${shown} order by b.key`);
  return rows.map(breakerRow);
}

/** One breaker, or undefined where none of that key was ever declared or called. */
export async function readBreaker(db: Db, key: string): Promise<BreakerRow | undefined> {
  const { rows } = await db.query<ShownRow>(`${shown} where b.key = $1`, [key]);
  return rows[0] && breakerRow(rows[0]);
}

/**
 * Whether a call would be admitted now; changes nothing. `state` alone is never the question: modes, gates and holds stand above it.
 * `print` is the fingerprint of a credential, `decided` an operator's retry: both may pass a hold.
 */
export async function wouldAdmit(
  db: Db,
  key: string,
  pass: { readonly print?: string; readonly decided?: boolean } = {},
): Promise<Admission> {
  const { rows } = await db.query<AdmissionRow>(
    `select admit, trial, state, why, ep::float8 as epoch, retry_ms::float8 as retry_ms, calls_per_second
     from mendflow.breaker_would_admit($1, $2, $3)`,
    [key, pass.print ?? null, pass.decided ?? false],
  );
  return admission(rows[0]!);
}

/** What happens by time alone: a ramp that is over closes, a mode ends, a lost trial ends the half-open state. `effect` is `none` where nothing did. */
export async function tickBreaker(
  db: Db,
  key: string,
): Promise<{ state: BreakerStateName; epoch: number; effect: string } | undefined> {
  const { rows } = await db.query<{ state: BreakerStateName | null; epoch: number; effect: string }>(
    'select st as state, ep::float8 as epoch, effect from mendflow.breaker_tick($1)',
    [key],
  );
  const { state, epoch, effect } = rows[0]!;
  return state === null ? undefined : { state, epoch, effect };
}

/**
 * An operator overrides a breaker. `untilMs` is a span from now: when the mode goes back to auto by itself; without it the mode stays.
 * `auto` also clears a hold. Fails with `config_invalid` for forced_closed without an end.
 */
export async function setMode(
  pool: Pool,
  key: string,
  to: { readonly mode: BreakerMode; readonly untilMs?: number; readonly by: string; readonly why: string },
): Promise<BreakerRow> {
  if (to.mode === 'forced_closed' && to.untilMs === undefined)
    throw new CodedError(
      'config_invalid',
      `Breaker ${key} was not changed: forced closed it protects nobody, so it needs an end. Say for how long, for example 15 minutes.`,
    );
  return await withClient(pool, async (client) => {
    await client.query('select mendflow.breaker_set_mode($1, $2, $3, $4, $5)', [
      key,
      to.mode,
      to.untilMs === undefined ? null : Math.ceil(to.untilMs),
      to.by,
      to.why,
    ]);
    return (await readBreaker(client, key))!;
  });
}

/** What happened to a breaker, newest first. */
export async function breakerEvents(db: Db, key: string, limit: number): Promise<BreakerEventRow[]> {
  const { rows } = await db.query<BreakerEventRow>(
    `select kind, epoch::float8 as epoch, from_state as "from", to_state as "to", reason, detail, extract(epoch from at)::float8 * 1000 as at
     from mendflow.breaker_event where key = $1 order by id desc limit $2`,
    [key, limit],
  );
  return rows;
}

interface AdmissionRow {
  admit: boolean;
  trial: boolean;
  state: BreakerStateName;
  why: string;
  epoch: number;
  retry_ms: number;
  calls_per_second: number | null;
}
interface ShownRow extends AdmissionRow {
  key: string;
  mode: BreakerMode;
  mode_by: string | null;
  mode_why: string | null;
  hold: string | null;
  streak: number;
  consec: number;
  cfg: BreakerRow['settings'];
  cause: Cause | null;
  cause_at: number | null;
  changed_at: number;
  changed_ms: number;
  mode_at: number | null;
  mode_left: number | null;
  open_left: number | null;
  gate_left: number | null;
  mode_until: number | null;
  open_until: number | null;
  gate_until: number | null;
  calls: number;
  fail: number;
  slow: number;
  callers: number;
}

const admission = (row: AdmissionRow): Admission => ({
  admit: row.admit,
  trial: row.trial,
  state: row.state,
  why: row.why,
  epoch: row.epoch,
  retryMs: row.retry_ms,
  ...(row.calls_per_second === null ? {} : { callsPerSecond: row.calls_per_second }),
});

function breakerRow(row: ShownRow): BreakerRow {
  const auto = row.mode === 'auto';
  return {
    ...admission(row),
    key: row.key,
    mode: row.mode,
    ...(auto || row.mode_left === null ? {} : { modeLeftMs: row.mode_left }),
    ...(auto || row.mode_until === null ? {} : { modeUntil: row.mode_until }),
    ...(auto || row.mode_by === null ? {} : { modeBy: row.mode_by }),
    ...(auto || row.mode_why === null ? {} : { modeWhy: row.mode_why }),
    ...(row.hold === null ? {} : { hold: row.hold }),
    streak: row.streak,
    consecutive: row.consec,
    changedAt: row.changed_at,
    sinceAt: row.mode_at ?? row.changed_at,
    changedMs: row.changed_ms,
    ...(row.open_left === null ? {} : { openLeftMs: Math.max(0, row.open_left) }),
    ...(row.open_until === null ? {} : { openUntil: row.open_until }),
    ...(row.gate_left === null || row.gate_left <= 0 ? {} : { gateLeftMs: row.gate_left }),
    ...(row.gate_left === null || row.gate_left <= 0 || row.gate_until === null ? {} : { gateUntil: row.gate_until }),
    window: { calls: row.calls, fail: row.fail, slow: row.slow, callers: row.callers },
    settings: row.cfg,
    ...(row.cause === null ? {} : { cause: { ...row.cause, when: row.cause_at ?? 0 } }),
  };
}
