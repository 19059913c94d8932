// What lives here: the breaker of an upstream as one run meets it that is alone, for `explain`.
// Invariant: pure, and no rule of its own: it steps the real breaker, so it opens, refuses and tries again as that does.
// Apart because the timeline counts attempts, and asks of a breaker only whether it admits the next one.
import { type BreakerEvent, freshBreaker, lookAt, reduceBreaker } from './breaker.ts';
import { cooldownMsOf } from './breaker-cooldown.ts';
import { aboutOf } from './breaker-evidence.ts';
import { inWords } from './duration.ts';
import { type Failure } from './failure.ts';
import type { BreakerSettings } from './upstream.ts';
import { outcomeOf } from './upstream-outcome.ts';

/** The upstream that a stage names in its policy, as it is declared. */
export interface Behind {
  readonly key: string;
  readonly breaker: BreakerSettings;
  readonly hasProbe: boolean;
}

/** What the timeline asks and tells, at moments that never go back. */
export interface Door {
  readonly behind: Behind;
  /** How long a call has to wait that is to be made now; 0 where it is admitted. */
  waitMs(now: number): number;
  begins(now: number): void;
  /** How the call ended; what it was for the breaker, in a sentence, where it was something. */
  ends(failed: Failure | undefined, now: number): string;
  isOpen(): boolean;
  /** The schedule of its trials, in words. */
  trials(): string;
}

/** Whoever calls; there is nobody else. */
const ALONE = { worker: 'one', by: 'one' } as const;
/** A cooldown and a gate may follow each other; more looks than that see nothing new. */
const LOOKS_MAX = 5;
/** More than anybody declares as `permits`. */
const TRIALS_MAX = 100;

export function doorOf(behind: Behind, random: number): Door {
  const { breaker: settings, hasProbe } = behind;
  let b = freshBreaker(settings, 0);
  let leave: { readonly epoch: number; readonly token?: string } = { epoch: b.epoch };
  const step = (event: BreakerEvent, now: number): ReturnType<typeof reduceBreaker>['answer'] => {
    const { state, answer } = reduceBreaker(b, event, now, random);
    b = state;
    return answer;
  };
  const ended = (what: object, now: number): string =>
    step({ type: 'report', ...leave, worker: ALONE.worker, ...what }, now).effect ?? 'none';
  const acquire = (now: number): void => {
    const { epoch, token } = step({ type: 'acquire', token: 'trial' }, now);
    leave = { epoch, ...(token === undefined ? {} : { token }) };
  };
  return {
    behind,
    waitMs(now) {
      let at = now;
      for (let looks = 0; looks < LOOKS_MAX && !lookAt(b, at).admit; looks++) at += lookAt(b, at).retryMs;
      return at - now;
    },
    begins(now) {
      step({ type: 'tick' }, now);
      acquire(now);
      // A declared probe goes first, and runs only follow once it has passed.
      for (let trials = 0; hasProbe && leave.token !== undefined && trials < TRIALS_MAX; trials++) {
        ended({ ok: 1 }, now);
        acquire(now);
      }
    },
    ends(failed, now) {
      const outcome = failed === undefined ? ({ kind: 'ok' } as const) : outcomeOf(failed);
      if (outcome.kind === 'ok') ended({ ok: 1, okBy: ALONE.by }, now);
      // With no count a trial is handed back.
      if (outcome.kind !== 'ok' && outcome.kind !== 'fail')
        ended(outcome.kind === 'throttled' ? { gateMs: outcome.gateMs } : {}, now);
      if (outcome.kind !== 'fail') return '';
      const calls = [{ about: aboutOf(outcome.code), by: ALONE.by }];
      const effect = ended({ fail: 1, tail: 1, calls, waitMs: outcome.waitMs }, now);
      return effect === 'opened' ? 'The breaker opens.' : effect === 'reopened' ? 'The breaker stays open.' : '';
    },
    isOpen: () => b.state === 'open' || b.state === 'half_open',
    trials() {
      const [firstMs, maxMs] = [cooldownMsOf(settings, b.streak), settings.cooldownMaxMs];
      const who = hasProbe ? 'its probe' : 'the run that has waited longest';
      const then = firstMs < maxMs ? `the wait doubles, up to ${inWords(maxMs)}` : 'it waits as long again';
      return `one trial (${who}) goes ${inWords(firstMs)} after it opened, and after each that fails ${then}`;
    },
  };
}

/** What no timeline of one run can show, in a sentence. `fails`: attempts end as an outage makes them end. */
export function aboutOthers(behind: Behind | undefined, fails: boolean): string | undefined {
  if (!fails) return undefined;
  if (behind === undefined)
    return 'This stage names no declared upstream. What it calls through one all the same stands behind the breaker of that one: once it is open, the stage is parked until the breaker admits calls, which tries again by itself after its cooldown.';
  return `This is a run that is alone: ${inTotal(behind.breaker.consecutive)} in a row open the breaker of ${behind.key}, and where other runs fail as well it opens sooner. While others are answered, what one run repeats counts once, and the run asks when its attempts are spent.`;
}

const inTotal = (n: number): string => `${n} failure${n === 1 ? '' : 's'}`;
