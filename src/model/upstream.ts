// What lives here: how a project declares its upstreams: the outside services that a breaker guards.
// Invariant: pure data; every figure that decides when a breaker trips or how fast an upstream is called stands in a declaration or in `breakerDefaults`.
// Apart because people read and change it, and breaker, connectors, queues and commands all derive from it.
import { type Duration, ms, parseDuration } from './duration.ts';
import { type Code, isCode } from './failure.ts';

/** When a breaker trips and how it comes back. Times in ms. */
export interface BreakerSettings {
  /** Failures in a row that trip it, however few calls there are. */
  readonly consecutive: number;
  /** Below this many calls in the window its shares say nothing. */
  readonly callsMin: number;
  /** Share of failed calls in the window that trips it, 0..1. */
  readonly failureShare: number;
  /** Share of slow calls in the window that trips it, 0..1. */
  readonly slowShare: number;
  readonly windowMs: number;
  /** First cooldown; it doubles with each opening that follows, up to the maximum. */
  readonly cooldownMs: number;
  readonly cooldownMaxMs: number;
  /** A trial whose holder is silent for so long is granted again. At least the timeout of a call and 5 s. */
  readonly leaseMs: number;
  /** How often a lost trial is granted again before it counts as failed. */
  readonly reissuesMax: number;
  /** Trials that have to pass before the breaker lets waves through. */
  readonly permits: number;
  /** Failures have to be seen by so many workers, or by all that call if they are fewer; who was answered only before they began does not count. */
  readonly workersMin: number;
  /** What one caller repeats counts once for so long after another one was answered. */
  readonly othersMs: number;
  /** How long admission stays limited after the trials have passed. */
  readonly rampMs: number;
  /** Longest wait an upstream may ask of all with a 429. */
  readonly gateMaxMs: number;
}

export const breakerDefaults: BreakerSettings = {
  consecutive: 5,
  callsMin: 20,
  failureShare: 0.5,
  slowShare: 0.8,
  windowMs: 60_000,
  cooldownMs: 60_000,
  cooldownMaxMs: 15 * 60_000,
  leaseMs: 35_000,
  reissuesMax: 2,
  permits: 1,
  workersMin: 2,
  othersMs: 5 * 60_000,
  rampMs: 60_000,
  gateMaxMs: 60 * 60_000,
};

/** A value that is named, not given: read at each call from the environment variable, or from the file that `<NAME>_FILE` names. */
export interface Secret {
  readonly secret: string;
  /** Text before the value, such as `Bearer `. */
  readonly before?: string;
}
export const secret = (name: string, more: { readonly before?: string } = {}): Secret => ({ secret: name, ...more });

/** An answer, as far as it takes to say whether it is good. */
export interface AnswerToJudge {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  text(): string;
  json(): unknown;
}

/**
 * What a good answer is beyond its status: a schema of its JSON, or a function. False, and JSON that does not fit the schema, is `answer_refused`;
 * a code is that failure, such as `http_429` for an error that means "too many calls", perhaps with how long to wait.
 */
export type Good =
  | ((answer: AnswerToJudge) => boolean | Code | { readonly code: Code; readonly waitMs?: number })
  | { safeParse(value: unknown): { readonly success: boolean } };

/** One upstream as declared. */
export interface Upstream {
  /** Base URL of an HTTP upstream; for other kinds a word for people. */
  readonly address: string;
  /** Origins beside its own that redirects and next-page links may lead to, such as `https://files.example.com`. */
  readonly origins?: readonly string[];
  /** Hard end of one call, DNS and body included. Default 30 seconds. */
  readonly timeout?: Duration;
  /** A call that takes longer counts as slow. Default: the timeout. */
  readonly slow?: Duration;
  /** Over all workers; also the pace of recovery. Default: calls are not paced, and recovery takes 10. */
  readonly callsPerSecond?: number;
  /** Calls, and stages, at once in one worker. Default 10. */
  readonly concurrency?: number;
  /** Sent with each request; a secret is read anew at each call. Never sent to another origin. */
  readonly headers?: Readonly<Record<string, string | Secret>>;
  /** Path of a cheap GET below the address that proves the upstream well, such as `/health`. Without it the oldest parked run goes first. */
  readonly probe?: string;
  /** What a code means with this upstream: `{ http_404: 'http_404_not_yet' }`. */
  readonly codes?: Partial<Readonly<Record<Code, Code>>>;
  /** Looked at for each answer of success that has content. */
  readonly good?: Good;
  /** Answers with which this upstream promises that the call had no effect, such as `['http_429']`: then a stage that is not idempotent may make it again. */
  readonly undone?: readonly Code[];
  readonly breaker?: Partial<BreakerSettings>;
}

/** By key: `kind:failure-domain`, the smallest thing that fails together, such as `http:quake-api` or `db:reporting`. */
export type Upstreams = Readonly<Record<string, Upstream>>;

/** Declares the upstreams of a project; their keys are checked against the stages at boot. */
export const upstreams = <const U extends Upstreams>(declared: U): U => declared;

const TIMEOUT_MS = 30_000;
export const CONCURRENCY = 10;
/** Pace of recovery where none is declared. */
export const CALLS_PER_SECOND = 10;

export const timeoutMsOf = (one: Upstream): number => (one.timeout === undefined ? TIMEOUT_MS : ms(one.timeout));

/** The settings of an upstream's breaker; a lease always outlives the longest call. */
export function breakerSettingsOf(one: Upstream): BreakerSettings {
  const settings = { ...breakerDefaults, ...one.breaker };
  return { ...settings, leaseMs: Math.max(settings.leaseMs, timeoutMsOf(one) + 5_000) };
}

/** Everything wrong with a declaration, in sentences. */
export function faultsOfUpstreams(declared: Upstreams): string[] {
  const faults: string[] = [];
  for (const [key, one] of Object.entries(declared)) {
    if (!/^[a-z]+:[a-z0-9][a-z0-9._-]{0,60}$/i.test(key))
      faults.push(`Upstream "${key}" has to be named kind:name, such as "http:quake-api".`);
    if (key.startsWith('http:') && !/^https?:\/\//.test(one.address))
      faults.push(`Upstream "${key}" has the address "${one.address}"; it has to begin with http:// or https://.`);
    for (const [name, time] of Object.entries({ timeout: one.timeout, slow: one.slow }))
      if (time !== undefined && !((parseDuration(time) ?? 0) > 0))
        faults.push(`Upstream "${key}" has "${time}" as its ${name}; write for example '30 seconds'.`);
    if (one.callsPerSecond !== undefined && !(one.callsPerSecond > 0))
      faults.push(`Upstream "${key}" has callsPerSecond ${one.callsPerSecond}; it is more than 0.`);
    if (one.concurrency !== undefined && !(Number.isInteger(one.concurrency) && one.concurrency >= 1))
      faults.push(`Upstream "${key}" has concurrency ${one.concurrency}; it is a whole number of at least 1.`);
    if (one.probe !== undefined && !one.probe.startsWith('/'))
      faults.push(`Upstream "${key}" has the probe "${one.probe}"; it is a path below its address, such as "/health".`);
    if (one.probe !== undefined && !/^https?:\/\//.test(one.address))
      faults.push(
        `Upstream "${key}" has the probe "${one.probe}", which is a GET, and the address "${one.address}" is none of HTTP.`,
      );
    for (const [from, to] of Object.entries(one.codes ?? {}))
      if (!isCode(from) || !isCode(to)) faults.push(`Upstream "${key}" maps ${from} to ${to}; both have to be codes.`);
    for (const code of one.undone ?? [])
      if (!isCode(code) || !code.startsWith('http_'))
        faults.push(`Upstream "${key}" has "${code}" in undone, which is no code of an answer, such as http_429.`);
    for (const [name, value] of Object.entries(one.breaker ?? {}))
      if (!(name in breakerDefaults) || !(value > 0))
        faults.push(`Upstream "${key}" has the breaker setting ${name} = ${value}, which is none or not above 0.`);
  }
  return faults;
}
