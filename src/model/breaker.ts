// What lives here: the breaker as a pure reducer: the twin of migrations/0003_breakers.sql, and the breaker of a worker whose control store is away.
// Invariant: state, event, time and chance in, state and answer out; step for step the same as the SQL, which a test checks.
// Apart because whoever wants to know what a breaker does should be able to read, simulate and exhaust it without a database.
import { cooldownMsOf, streakAfter } from './breaker-cooldown.ts';
import { type Callers, type EndedCalls, evidenceOf, noteOk } from './breaker-evidence.ts';
import { add, type Bucket, sums, without } from './breaker-window.ts';
import type { BreakerSettings } from './upstream.ts';

export type StateName = 'closed' | 'open' | 'half_open' | 'ramping';
export type Mode = 'auto' | 'forced_open' | 'forced_closed' | 'observe';

/** One leased call of a half-open epoch. */
export interface Trial {
  readonly token?: string;
  readonly leaseUntil?: number;
  readonly outcome?: 'ok' | 'fail';
}

/** All times in ms of one clock; which one does not matter. */
export interface BreakerState extends Callers {
  readonly settings: BreakerSettings & {
    /** Share by which a cooldown is lengthened at most. Default 0.1; 0 in tests. */
    readonly cooldownJitter?: number;
  };
  readonly mode: Mode;
  readonly modeUntil?: number | undefined;
  /** Code and fingerprint of the credential that was refused. */
  readonly hold?: { readonly code: string; readonly print?: string | undefined } | undefined;
  readonly state: StateName;
  readonly epoch: number;
  readonly streak: number;
  readonly consecutive: number;
  readonly reissues: number;
  readonly changedAt: number;
  readonly openUntil?: number | undefined;
  readonly gateUntil?: number | undefined;
  readonly paceAt?: number | undefined;
  readonly paceSeen?: number | undefined;
  /** Of the current epoch. */
  readonly buckets: readonly Bucket[];
  readonly trials: readonly Trial[];
}

/** What may pass a hold. */
export interface Pass {
  readonly print?: string | undefined;
  readonly decided?: boolean | undefined;
}

export type BreakerEvent =
  | ({ readonly type: 'acquire'; readonly token: string } & Pass)
  | ({ readonly type: 'report' } & Report)
  | { readonly type: 'leave'; readonly worker: string }
  | { readonly type: 'tick' }
  | { readonly type: 'mode'; readonly mode: Mode; readonly forMs?: number | undefined }
  | { readonly type: 'pace'; readonly slots: number; readonly callsPerSecond: number; readonly leadMs?: number };

/** How calls ended. All counts default to 0; a trial reported with none hands its permit back. */
export interface Report extends EndedCalls {
  readonly epoch: number;
  readonly token?: string | undefined;
  readonly worker: string;
  /** Calls that have just become slow and still run. */
  readonly slow?: number;
  /** Those among the ended calls that had been reported slow. */
  readonly ended?: number;
  /** A 429 asks everybody to wait. */
  readonly gateMs?: number;
  /** Retry-After of a failure; kept if it opens the breaker. */
  readonly waitMs?: number;
  /** Code of a fault that only people heal. */
  readonly hold?: string | undefined;
  readonly print?: string | undefined;
}

export type Effect =
  | 'counted'
  | 'late'
  | 'released'
  | 'trial ok'
  | 'closing'
  | 'closed'
  | 'opened'
  | 'reopened'
  | 'held'
  | 'unheld'
  | 'auto'
  | 'none';

/** Whether a call would be admitted, and why not. */
export interface Look {
  readonly admit: boolean;
  /** Admitted as a leased trial only. */
  readonly trial: boolean;
  /** The state has to be put right first: a clock was set back, or the last trial was lost. */
  readonly stale: boolean;
  readonly why: StateName | 'forced_open' | 'throttled' | 'hold';
  readonly retryMs: number;
}

export interface Answer {
  readonly epoch: number;
  /** Of acquire. */
  readonly look?: Look;
  /** Of acquire: set if the call is a trial. */
  readonly token?: string;
  /** Of report and tick. */
  readonly effect?: Effect;
  /** Of pace. */
  readonly waitMs?: number;
  readonly spacingMs?: number;
}

export interface Step {
  readonly state: BreakerState;
  readonly answer: Answer;
}

const JITTER = 0.1;
/** What a refused caller without a better time is told: look again in a second. */
const LOOK_AGAIN_MS = 1_000;
/** And where an operator forced it open without an end: in a minute. */
const FORCED_LOOK_AGAIN_MS = 60_000;
/** How much more than even the slots of a paced upstream lie apart: a late timer must not crowd the second after it. */
const PACE_MS = 1_050;

/** A breaker that nothing is known about yet. */
export const freshBreaker = (settings: BreakerState['settings'], now: number): BreakerState => ({
  settings,
  mode: 'auto',
  state: 'closed',
  epoch: 1,
  streak: 0,
  consecutive: 0,
  reissues: 0,
  changedAt: now,
  buckets: [],
  trials: [],
  failing: [],
});

/** One step. `random` in [0, 1). */
export function reduceBreaker(state: BreakerState, event: BreakerEvent, now: number, random: number): Step {
  switch (event.type) {
    case 'acquire':
      return acquire(state, event, now, random);
    case 'report':
      return report(state, event, now, random);
    case 'leave':
      return { state: { ...state, buckets: without(state.buckets, event.worker) }, answer: { epoch: state.epoch } };
    case 'tick':
      return tick(state, now, random);
    case 'mode':
      return setMode(state, event.mode, event.forMs, now);
    case 'pace':
      return pace(state, event, now);
  }
}

/** The mode that counts now. */
export const modeAt = (b: BreakerState, now: number): Mode =>
  b.modeUntil !== undefined && b.modeUntil <= now ? 'auto' : b.mode;

const jitterOf = (b: BreakerState): number => b.settings.cooldownJitter ?? JITTER;
const cooldownMaxMs = (b: BreakerState): number => b.settings.cooldownMaxMs * (1 + jitterOf(b));
const passes = (b: BreakerState, pass: Pass): boolean =>
  pass.decided === true || (pass.print !== undefined && pass.print !== b.hold?.print);
const isLost = (b: BreakerState, trial: Trial, now: number): boolean =>
  trial.leaseUntil !== undefined && (trial.leaseUntil <= now || trial.leaseUntil - now > b.settings.leaseMs);

const admitted = (why: StateName, trial: boolean): Look => ({ admit: true, trial, stale: false, why, retryMs: 0 });
/** Made once: a closed breaker is asked at every call. */
const byState: Readonly<Record<StateName, Look>> = {
  closed: admitted('closed', false),
  open: admitted('open', false),
  half_open: admitted('half_open', false),
  ramping: admitted('ramping', false),
};
const refused = (why: Look['why'], retryMs: number, stale = false): Look => ({
  admit: false,
  trial: false,
  stale,
  why,
  retryMs: Math.ceil(retryMs),
});

/** Whether a call would be admitted at that moment; the question of every call and of everybody who waits. */
export function lookAt(b: BreakerState, now: number, pass: Pass = {}): Look {
  const mode = b.mode === 'auto' ? 'auto' : modeAt(b, now);
  if (mode === 'forced_open')
    return refused('forced_open', b.modeUntil === undefined ? FORCED_LOOK_AGAIN_MS : b.modeUntil - now);
  if (mode === 'forced_closed') return byState[b.state];
  if (b.gateUntil !== undefined && b.gateUntil > now) {
    const left = b.gateUntil - now;
    return refused('throttled', Math.min(left, b.settings.gateMaxMs), left > b.settings.gateMaxMs);
  }
  if (mode === 'observe' || b.state === 'closed' || b.state === 'ramping') return byState[b.state];
  if (b.hold && !passes(b, pass)) return refused('hold', b.settings.cooldownMs);
  if (b.state === 'open') {
    const left = b.openUntil! - now;
    if (left <= 0 || (b.hold && pass.decided === true)) return admitted('open', true);
    return refused('open', Math.min(left, cooldownMaxMs(b)), left > cooldownMaxMs(b));
  }
  return lookAtTrials(b, now);
}

function lookAtTrials(b: BreakerState, now: number): Look {
  const open = b.trials.filter(({ outcome }) => outcome === undefined);
  const lost = open.some((trial) => isLost(b, trial, now));
  if (open.some(({ token }) => token === undefined)) return admitted('half_open', true);
  if (lost && b.reissues < b.settings.reissuesMax) return admitted('half_open', true);
  if (lost || open.length === 0) return refused('half_open', LOOK_AGAIN_MS, lost);
  return refused('half_open', Math.min(...open.map(({ leaseUntil }) => leaseUntil!)) - now);
}

/** After a clock was set back, waits that would outlast their own maximum are cut to it, once. */
function settle(b: BreakerState, now: number): BreakerState {
  const openMax = now + cooldownMaxMs(b);
  const gateMax = now + b.settings.gateMaxMs;
  return {
    ...b,
    ...(b.openUntil !== undefined && b.openUntil > openMax ? { openUntil: openMax } : {}),
    ...(b.gateUntil !== undefined && b.gateUntil > gateMax ? { gateUntil: gateMax } : {}),
    changedAt: Math.min(b.changedAt, now),
  };
}

/** The one place where a state changes. */
function move(b: BreakerState, to: StateName, now: number, random: number): BreakerState {
  const streak = streakAfter(b, to, now);
  const cooldown = cooldownMsOf(b.settings, streak) * (1 + random * jitterOf(b));
  return {
    ...b,
    state: to,
    epoch: b.epoch + 1,
    streak,
    consecutive: 0,
    reissues: 0,
    changedAt: now,
    openUntil: to === 'open' ? now + cooldown : undefined,
    hold: to === 'open' || to === 'half_open' ? b.hold : undefined,
    buckets: [],
    failing: [],
    trials: to === 'half_open' ? Array.from({ length: Math.ceil(b.settings.permits) }, () => ({})) : [],
  };
}

function acquire(before: BreakerState, event: { token: string } & Pass, now: number, random: number): Step {
  const first = lookAt(before, now, event);
  if (!first.trial && !first.stale) return { state: before, answer: { epoch: before.epoch, look: first } };
  let b = settle(before, now);
  const look = lookAt(b, now, event);
  if (look.stale) {
    b = move(b, 'open', now, random);
    return { state: b, answer: { epoch: b.epoch, look: refused('open', Math.max(b.openUntil! - now, 1)) } };
  }
  if (!look.trial) return { state: b, answer: { epoch: b.epoch, look } };
  if (b.state === 'open') b = move(b, 'half_open', now, random);
  // A trial nobody has goes first, then one whose holder is lost.
  const free = b.trials.findIndex(({ token, outcome }) => token === undefined && outcome === undefined);
  const at = free >= 0 ? free : b.trials.findIndex((trial) => trial.outcome === undefined && isLost(b, trial, now));
  const granted: Trial = { token: event.token, leaseUntil: now + b.settings.leaseMs };
  b = { ...b, reissues: b.reissues + (free >= 0 ? 0 : 1), trials: b.trials.with(at, granted) };
  return { state: b, answer: { epoch: b.epoch, token: event.token, look: admitted('half_open', true) } };
}

/** Keeps everybody away for a time that the upstream asked for. Never shortens. */
function gate(b: BreakerState, now: number, forMs: number): BreakerState {
  const until = now + Math.min(forMs, b.settings.gateMaxMs);
  return forMs <= 0 || (b.gateUntil !== undefined && b.gateUntil >= until) ? b : { ...b, gateUntil: until };
}

function report(before: BreakerState, event: Report, now: number, random: number): Step {
  const b = gate(settle(before, now), now, event.gateMs ?? 0);
  const step = (state: BreakerState, effect: Effect): Step => ({ state, answer: { epoch: state.epoch, effect } });
  // Fenced: what began in another epoch says nothing about this one.
  if (b.epoch !== event.epoch) return step(b, 'late');
  // An operator lets every call go out now; so the failure is its caller's own.
  const mode = modeAt(b, now);
  if (event.hold !== undefined && (mode === 'observe' || mode === 'forced_closed')) return step(b, 'unheld');
  if (b.state === 'open') return step(b, 'late');
  if (b.state === 'half_open') return reportTrial(b, event, now, random, step);
  if (event.hold !== undefined)
    return step({ ...move(b, 'open', now, random), hold: { code: event.hold, print: event.print } }, 'held');
  return count(b, event, now, random, step);
}

type Done = (state: BreakerState, effect: Effect) => Step;

function reportTrial(b: BreakerState, event: Report, now: number, random: number, step: Done): Step {
  const { ok = 0, fail = 0, slow = 0, ended = 0, hold } = event;
  // A slow trial is still a trial; only its end decides.
  if (hold === undefined && ok + fail === 0 && slow + ended > 0) return step(b, 'counted');
  const at = b.trials.findIndex(({ token, outcome }) => token === event.token && token && outcome === undefined);
  if (at < 0) return step(b, 'late');
  if (hold !== undefined)
    return step({ ...move(b, 'open', now, random), hold: { code: hold, print: event.print } }, 'held');
  // An outage now, whatever it was before: time may heal it, so the hold ends and the cooldown counts.
  if (fail > 0)
    return step(move(gate({ ...b, hold: undefined }, now, event.waitMs ?? 0), 'open', now, random), 'reopened');
  if (ok === 0) return step({ ...b, trials: b.trials.with(at, {}) }, 'released');
  const trials = b.trials.with(at, { ...b.trials[at], outcome: 'ok' });
  const answered = noteOk(b, event, now);
  if (trials.every(({ outcome }) => outcome === 'ok')) return step(move(answered, 'ramping', now, random), 'closing');
  // One answer proves the credential; how many it takes to trust the upstream is another question.
  return step({ ...answered, trials, hold: undefined }, 'trial ok');
}

function count(before: BreakerState, event: Report, now: number, random: number, step: Done): Step {
  const { ok = 0, slow = 0 } = event;
  const { callers, fail, tail } = evidenceOf(before, event, now, before.settings);
  const consecutive = ok > 0 ? tail : before.consecutive + fail;
  const b: BreakerState = {
    ...callers,
    consecutive,
    buckets: add(before.buckets, { ...event, fail }, now, before.settings.windowMs),
  };
  const { settings } = b;
  const w = sums(b.buckets, now, settings.windowMs, event.worker);
  const bad =
    consecutive >= settings.consecutive ||
    (w.calls >= settings.callsMin &&
      (w.fail >= w.calls * settings.failureShare || w.slow >= w.calls * settings.slowShare));
  if (modeAt(b, now) === 'auto' && fail + slow > 0 && w.bad >= Math.min(settings.workersMin, w.callers) && bad)
    return step(move(gate(b, now, event.waitMs ?? 0), 'open', now, random), 'opened');
  if (b.state === 'ramping' && now - b.changedAt >= settings.rampMs)
    return step(move(b, 'closed', now, random), 'closed');
  return step(b, 'counted');
}

function tick(before: BreakerState, now: number, random: number): Step {
  let b = settle(before, now);
  let effect: Effect = 'none';
  if (b.mode !== 'auto' && modeAt(b, now) === 'auto') {
    b = { ...b, mode: 'auto', modeUntil: undefined };
    effect = 'auto';
  }
  if (b.state === 'ramping' && now - b.changedAt >= b.settings.rampMs) {
    b = move(b, 'closed', now, random);
    effect = 'closed';
  } else if (b.state === 'half_open') {
    const open = b.trials.filter(({ outcome }) => outcome === undefined);
    const spent = b.reissues >= b.settings.reissuesMax && open.every(({ token }) => token !== undefined);
    // With a hold hardly anybody may ask for the lost trial, so it ends here instead of waiting to be granted again.
    if (open.some((trial) => isLost(b, trial, now)) && (b.hold || spent)) {
      b = move(b, 'open', now, random);
      effect = 'reopened';
    }
  }
  return { state: b, answer: { epoch: b.epoch, effect } };
}

/** `auto` also clears a hold: the next call after the cooldown is a trial. */
function setMode(b: BreakerState, mode: Mode, forMs: number | undefined, now: number): Step {
  const auto = mode === 'auto';
  const modeUntil = auto || forMs === undefined ? undefined : now + forMs;
  return { state: { ...b, mode, modeUntil, hold: auto ? undefined : b.hold }, answer: { epoch: b.epoch } };
}

/** Distance of the slots of a paced upstream: no second holds more than `callsPerSecond`. */
export const spacingMsOf = (callsPerSecond: number): number =>
  PACE_MS / (callsPerSecond < 1 ? callsPerSecond : Math.floor(callsPerSecond));

function pace(
  b: BreakerState,
  { slots, callsPerSecond, leadMs = 0 }: { slots: number; callsPerSecond: number; leadMs?: number },
  now: number,
): Step {
  const spacingMs = spacingMsOf(callsPerSecond);
  // A clock behind the one of the last reservation was set back, and the slots move with it.
  const setBack = Math.max((b.paceSeen ?? now) - now, 0);
  const first = Math.max((b.paceAt ?? now) - setBack, now + leadMs);
  return {
    state: { ...b, paceAt: first + slots * spacingMs, paceSeen: now },
    answer: { epoch: b.epoch, waitMs: first - now, spacingMs },
  };
}

/** The breaker that a worker goes on with when the store is away: trials of others cannot be seen any more, so the cooldown is what counts. */
export const alone = (b: BreakerState, now: number): BreakerState =>
  b.state === 'half_open' ? { ...b, state: 'open', openUntil: now, trials: [], buckets: [], failing: [] } : b;
