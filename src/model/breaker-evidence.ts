// What lives here: how much a failed call says about its upstream, by who made it and who else was answered.
// Invariant: pure; the first failure of a caller always counts. What one caller repeats is no independent evidence, as long as others were answered
// of late and only few fail: then the fault may be of its call alone. A connection that does not come about is nobody's own.
// Apart because it decides whether one bad path closes the door for all; its twin is mendflow.breaker_weigh.
import type { Code } from './failure.ts';

/** What a failure is about: the connection, which all share; the content of one answer; else a call, which may be either. */
type About = 'connection' | 'answer' | 'call';

/** One call that failed. Without `by` nobody knows whose it was, and it counts. */
export interface FailedCall {
  readonly about: About;
  /** Run and stage. */
  readonly by?: string | undefined;
}

/** How calls ended, as far as it is evidence. All counts default to 0. */
export interface EndedCalls {
  readonly ok?: number;
  readonly fail?: number;
  /** Failures after the last success of this batch. */
  readonly tail?: number;
  /** Each that failed, in their order; without it each counts. */
  readonly calls?: readonly FailedCall[] | undefined;
  /** Who was answered last in this batch, and whether somebody else was, too. */
  readonly okBy?: string | undefined;
  readonly okOthers?: boolean | undefined;
  /** What the last failure was, for people. */
  readonly cause?: Cause | undefined;
}

export interface Cause {
  readonly code: string;
  /** Host and port of the declared address. */
  readonly at?: string | undefined;
  /** Run and stage. */
  readonly by?: string | undefined;
}

/** What is remembered of callers. */
export interface Callers {
  /** Who was answered last, when, and when anybody else was. */
  readonly okBy?: string | undefined;
  readonly okAt?: number | undefined;
  readonly okOtherAt?: number | undefined;
  /** Whose calls failed, and when last; of the current epoch. */
  readonly failing: readonly { readonly by: string; readonly at: number }[];
}

/** So many callers that fail, and none that is answered, are an outage, whoever was answered before. */
const FAILING_MIN = 3;

const aboutConnection: ReadonlySet<Code> = new Set<Code>([
  'net_refused',
  'net_unreachable',
  'dns_again',
  'dns_failed',
  'dns_unknown',
  'tls_failed',
  'pg_unreachable',
  'pg_connection_lost',
  'pg_starting',
  'pg_readonly',
]);
/** They have in common that an answer came, and that the same call would get it again. */
const aboutAnswer: ReadonlySet<Code> = new Set<Code>([
  'answer_cut',
  'answer_unreadable',
  'answer_refused',
  'pages_moved',
]);

export const aboutOf = (code: Code): About =>
  aboutConnection.has(code) ? 'connection' : aboutAnswer.has(code) ? 'answer' : 'call';

const within = (at: number | undefined, now: number, spanMs: number): boolean =>
  at !== undefined && Math.abs(now - at) < spanMs;

/** When anybody but this caller was answered last. */
const okOf = ({ okBy, okAt, okOtherAt }: Callers, by: string): number | undefined => (okBy === by ? okOtherAt : okAt);

/** Whether anybody but this caller was answered within the span before now. */
export const othersAnswered = (callers: Callers, by: string, now: number, spanMs: number): boolean =>
  within(okOf(callers, by), now, spanMs);

/** Somebody was answered, if anybody was. */
export const noteOk = <T extends Callers>(
  callers: T,
  { ok = 0, okBy: by, okOthers = false }: EndedCalls,
  now: number,
): T =>
  ok === 0 || by === undefined
    ? callers
    : {
        ...callers,
        okBy: by,
        okAt: now,
        okOtherAt: okOthers ? now : callers.okBy === by ? callers.okOtherAt : callers.okAt,
      };

/** How many of the failures count, how many of those behind the last success, and what is remembered of callers then. */
export function evidenceOf<T extends Callers>(
  before: T,
  ended: EndedCalls,
  now: number,
  rules: Rules,
): { readonly callers: T; readonly fail: number; readonly tail: number } {
  const { fail = 0, tail = 0, calls } = ended;
  let callers = noteOk(before, ended, now);
  if (calls === undefined) return { callers, fail, tail };
  const weights = calls.map((call) => {
    const weighed = weigh(callers, call, now, rules);
    callers = weighed.callers;
    return weighed.weight;
  });
  const sum = (of: readonly number[]): number => of.reduce((total, one) => total + one, 0);
  return { callers, fail: sum(weights), tail: tail === 0 ? 0 : sum(weights.slice(-tail)) };
}

interface Rules {
  readonly othersMs: number;
  readonly consecutive: number;
}

function weigh<T extends Callers>(
  before: T,
  { about, by }: FailedCall,
  now: number,
  { othersMs, consecutive }: Rules,
): { readonly callers: T; readonly weight: 0 | 1 } {
  if (by === undefined) return { callers: before, weight: 1 };
  const known = before.failing.some((one) => one.by === by && within(one.at, now, othersMs));
  const others = before.failing.filter((one) => one.by !== by);
  const kept = known ? others : others.filter(({ at }) => within(at, now, othersMs));
  const callers = { ...before, failing: [...kept, { by, at: now }] };
  if (!known || about === 'connection') return { callers, weight: 1 };
  if (about === 'answer') return { callers, weight: 0 };
  const failing = callers.failing.filter(({ at }) => at > (callers.okAt ?? -Infinity)).length;
  const isAlone = othersAnswered(callers, by, now, othersMs) && failing < Math.min(FAILING_MIN, consecutive);
  return { callers, weight: isAlone ? 0 : 1 };
}
