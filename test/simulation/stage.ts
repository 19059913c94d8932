// What lives here: a stage run by the real decision code on a virtual clock: classify → afterFailure → verdict, as guard and engine call them.
// Invariant: nothing is decided here; what a wake of a park grants is what the engine grants.
// Apart because simulation, seeds and behaviour vectors need the same stage.
import { classify } from '../../src/model/classify.ts';
import type { Failure } from '../../src/model/failure.ts';
import { afterFailure, emptyTally, type Grant, grantOf, type Tally, type Why } from '../../src/model/retry-clock.ts';
import type { Policy } from '../../src/model/spec.ts';
import { verdict } from '../../src/model/verdict.ts';

/** One call of the stage: throws what the driver throws, or returns. */
export type Call = (attempt: number, now: number) => void;

export interface Course {
  readonly end: 'done' | 'asking' | 'waiting';
  readonly calls: number;
  /** Before each call but the first, in ms. */
  readonly waits: readonly number[];
  readonly parks: readonly { readonly until: 'time' | 'upstream'; readonly delayMs: number }[];
  readonly failures: readonly (Failure & { readonly why?: Why })[];
  readonly endedAt: number;
}

export interface StageOptions {
  readonly policy: Policy;
  readonly random?: () => number;
  /** Parks that are slept through before the simulation gives up waiting. Default 1,000. */
  readonly parksMax?: number;
  /** How long a park for an upstream takes. Default a minute. */
  readonly upstreamMs?: number;
  readonly startAt?: number;
  /** Another `classify`, to see that a wrong rule is noticed. */
  readonly by?: typeof classify;
}

export function simulate(call: Call, options: StageOptions): Course {
  const { policy, random = () => 0.5, parksMax = 1_000, upstreamMs = 60_000, startAt = 0, by = classify } = options;
  let grant: Grant = grantOf(policy);
  let tally: Tally = emptyTally;
  let now = startAt;
  const waits: number[] = [];
  const parks: Course['parks'][number][] = [];
  const failures: Course['failures'][number][] = [];
  const ended = (end: Course['end'], calls: number): Course => ({ end, calls, waits, parks, failures, endedAt: now });
  for (let calls = 1; ; calls++) {
    let thrown: unknown;
    try {
      call(calls, now);
      return ended('done', calls);
    } catch (error) {
      thrown = error;
    }
    const failed = by(thrown, { now });
    const next = afterFailure(tally, failed, { policy, grant, now, random: random(), progressed: false });
    tally = next.tally;
    if (next.next === 'retry') {
      failures.push(failed);
      waits.push(next.delayMs);
      now += next.delayMs;
      continue;
    }
    failures.push({ ...failed, why: next.why });
    const elapsedMs = now - (tally.firstFailureAt ?? now);
    const then = verdict({ failure: failed, attempts: tally.failures, elapsedMs, why: next.why }, policy, {
      heal: 'on',
      pastDeadline: false,
    });
    if (then.do === 'fail' || then.until === 'decision') return ended('asking', calls);
    const delayMs = then.until === 'time' ? then.delayMs : upstreamMs;
    parks.push({ until: then.until, delayMs });
    if (parks.length > parksMax) return ended('waiting', calls);
    waits.push(delayMs);
    now += delayMs;
    const attemptBase = grant.attemptBase + tally.failures;
    grant = { ...grantOf(policy), ...(then.until === 'time' ? { attemptsMax: 1 } : {}), attemptBase };
    tally = emptyTally;
  }
}

/** A seeded dice: the same numbers for the same seed, whoever runs it (mulberry32). */
export function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
