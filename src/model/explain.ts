// What lives here: what would happen to a stage whose attempts end as scripted: the timeline of attempts, waits, parks and questions.
// Invariant: pure, and no policy of its own: it runs the guard's `afterFailure` and the engine's `verdict`, so it cannot promise what they do not do.
// Apart because people ask it before an incident, and tests ask whether the answer is true.
import { inWords, ms } from './duration.ts';
import { aboutOthers, type Behind, type Door, doorOf } from './explain-breaker.ts';
import { codes, failure, type Code, type Failure } from './failure.ts';
import { afterFailure, asks, emptyTally, type Grant, grantOf, type Next, type Tally } from './retry-clock.ts';
import type { Policy } from './spec.ts';
import { outcomeOf } from './upstream-outcome.ts';
import { acceptsLoss, isMendedHere, offered, type Verdict, verdict } from './verdict.ts';

/** How one attempt ends: well, or with a code and perhaps the time the other side asked for. */
export type Scripted = 'ok' | { readonly code: Code; readonly askedMs?: number };

/** Shortest, typical and longest, in ms: waits are spread, so that many runs do not come back at once. */
export interface Spread {
  readonly min: number;
  readonly typical: number;
  readonly max: number;
}

interface Step {
  readonly what: 'attempt' | 'park' | 'question' | 'done' | 'failed';
  /** Number of the attempt, from 1; of the attempt before it for all else. */
  readonly attempt: number;
  readonly attemptsMax: number;
  /** `ok`, the code of the failure, or empty where nothing was tried. */
  readonly outcome: string;
  readonly class: string;
  /** Before the attempt, or the length of the park. */
  readonly waitMs: Spread;
  /** Since the first attempt began, at the end of this step. */
  readonly elapsedMs: Spread;
  /** One sentence for people. */
  readonly text: string;
}

export interface Explanation {
  readonly steps: readonly Step[];
  /** How it stands at the end of the script. `waiting`: goes on by itself, unless an operator decides before. */
  readonly end: 'done' | 'waiting' | 'asking' | 'failed';
  /** How many attempts a stage gets, and how long, before the slow phase or a question. */
  readonly budget: { readonly attemptsMax: number; readonly timeMs: number };
  /** What else decides where an upstream is away: other runs, and its breaker. Absent where no attempt ends as an outage makes it end. */
  readonly others?: string;
}

export interface Asked {
  readonly policy: Policy;
  /** The last one is repeated until the stage ends, parks or asks. */
  readonly script: readonly Scripted[];
  readonly heal?: 'on' | 'off';
  /** How long an attempt takes, in ms. Default 0: the waits alone. */
  readonly tookMs?: number;
  /** The upstream that the policy names. Without it the stage meets no breaker, but where the script says so. */
  readonly behind?: Behind | undefined;
}

/** More steps than any policy of a person's making; a script that repeats for ever ends here. */
const STEPS_MAX = 500;
/** `random` of the guard: the shortest, the middle and the longest wait. */
const draws = { typical: 0.5, min: 0, max: 0.999_999 } as const;

/** Tells the typical course; the ranges come from running the shortest and the longest waits beside it. */
export function explain(asked: Asked): Explanation {
  const typical = course(asked, draws.typical);
  const [min, max] = [course(asked, draws.min), course(asked, draws.max)];
  const spread = (index: number, of: 'waitMs' | 'elapsedMs'): Spread => {
    const mid = typical.steps[index]![of];
    // A budget of time may end one course earlier than another; the range then covers those that come this far.
    const others = [min, max].flatMap(({ steps }) =>
      steps[index]?.what === typical.steps[index]!.what && steps[index].outcome === typical.steps[index]!.outcome
        ? [steps[index][of]]
        : [],
    );
    return { min: Math.min(mid, ...others), typical: mid, max: Math.max(mid, ...others) };
  };
  const others = aboutOthers(
    asked.behind,
    asked.script.some((one) => one !== 'ok' && outcomeOf(failureOf(one)).kind === 'fail'),
  );
  return {
    steps: typical.steps.map((step, index) => ({
      ...step,
      waitMs: spread(index, 'waitMs'),
      elapsedMs: spread(index, 'elapsedMs'),
    })),
    end: typical.end,
    budget: { attemptsMax: asked.policy.budget.attemptsMax, timeMs: ms(asked.policy.budget.time) },
    ...(others === undefined ? {} : { others }),
  };
}

type Single = Omit<Step, 'waitMs' | 'elapsedMs'> & { readonly waitMs: number; readonly elapsedMs: number };
interface Course {
  readonly steps: readonly Single[];
  readonly end: Explanation['end'];
}

function course({ policy, script, heal = 'on', tookMs = 0, behind }: Asked, random: number): Course {
  const steps: Single[] = [];
  const door = behind && doorOf(behind, random);
  let grant: Grant = grantOf(policy);
  let tally: Tally = emptyTally;
  let now = 0;
  let waitMs = 0;
  for (let tried = 0; steps.length < STEPS_MAX;) {
    now += waitMs;
    const refused = door !== undefined && door.waitMs(now) > 0;
    const outcome = refused
      ? ({ code: 'breaker_open' } as const)
      : (script[Math.min(tried, script.length - 1)] ?? 'ok');
    const attempt = grant.attemptBase + tally.failures + 1;
    const at = { attempt, attemptsMax: grant.attemptBase + grant.attemptsMax };
    const failed = outcome === 'ok' ? undefined : failureOf(outcome);
    let opens = '';
    // A refused call takes no time and uses no word of the script.
    if (!refused) {
      door?.begins(now);
      now += tookMs;
      opens = door?.ends(failed, now) ?? '';
      tried++;
    }
    if (failed === undefined) {
      const text = attempt === 1 ? 'The stage is done.' : `Healed by itself, at attempt ${attempt}.`;
      steps.push({ what: 'attempt', ...at, outcome: 'ok', class: '', waitMs, elapsedMs: now, text });
      return { steps, end: 'done' };
    }
    const next = unlessOpen(
      afterFailure(tally, failed, { policy, grant, now, random, progressed: false }),
      failed,
      door,
    );
    const ended = { ...at, outcome: failed.code, class: failed.class, waitMs, elapsedMs: now } as const;
    const says = [codes[failed.code].says, opens].filter((one) => one !== '').join(' ');
    if (next.next === 'retry') {
      tally = next.tally;
      steps.push({ what: 'attempt', ...ended, text: `${says} Tried again.` });
      waitMs = next.delayMs;
      continue;
    }
    const isCalled = next.why === 'not admitted' && failed.code !== 'breaker_open';
    steps.push({ what: 'attempt', ...ended, text: isCalled ? says : `${says} ${whySentence[next.why]}` });
    const elapsedMs = now - (next.tally.firstFailureAt ?? now);
    const stopped = { failure: failed, attempts: next.tally.failures, elapsedMs, why: next.why };
    const decided = verdict(stopped, policy, { heal, pastDeadline: false });
    const then = afterStop(
      decided,
      failed,
      policy,
      door && { trials: door.trials(), ...door.behind, leftMs: door.waitMs(now) },
    );
    now += then.waitMs;
    steps.push({ ...at, ...then.step, outcome: '', class: failed.class, waitMs: then.waitMs, elapsedMs: now });
    if (then.end !== 'waiting' || tried >= script.length) return { steps, end: then.end };
    waitMs = 0;
    // As the engine wakes a park: one attempt in the slow phase, all of them once the upstream is back, counted on from those before.
    const attemptBase = grant.attemptBase + next.tally.failures;
    const whole = decided.do === 'park' && decided.until === 'upstream';
    grant = { ...grantOf(policy), ...(whole ? {} : { attemptsMax: 1 }), attemptBase };
    tally = emptyTally;
  }
  return { steps, end: 'waiting' };
}

/** As the guard has it: who would wait for a time while the breaker is open waits for the breaker. */
const unlessOpen = (next: Next, failed: Failure, door: Door | undefined): Next =>
  next.next === 'stop' && door?.isOpen() === true && !asks(failed, next) ? { ...next, why: 'not admitted' } : next;

/** What the engine makes of a spent budget, as one step. */
function afterStop(
  end: Verdict,
  failed: Failure,
  policy: Policy,
  breaker: { readonly key: string; readonly trials: string; readonly leftMs: number } | undefined,
): { readonly step: Pick<Step, 'what' | 'text'>; readonly end: Explanation['end']; readonly waitMs: number } {
  if (end.do === 'fail')
    return {
      step: { what: 'failed', text: 'The run fails: healing is off for this pipeline.' },
      end: 'failed',
      waitMs: 0,
    };
  if (end.until === 'decision')
    return {
      step: { what: 'question', text: `The run asks its owner and waits: ${choices(failed, policy)}.` },
      end: 'asking',
      waitMs: 0,
    };
  if (end.until === 'upstream') {
    const whose =
      breaker === undefined ? 'the upstream admits calls' : `${breaker.key} admits calls: ${breaker.trials}`;
    const text = `Parked, holding nothing, until the breaker of ${whose}. Nobody is asked.`;
    return { step: { what: 'park', text }, end: 'waiting', waitMs: breaker?.leftMs ?? 0 };
  }
  const text = `Parked, holding nothing, for ${inWords(end.delayMs)}; then one attempt. Nobody is asked.`;
  return { step: { what: 'park', text }, end: 'waiting', waitMs: end.delayMs };
}

const failureOf = (outcome: Exclude<Scripted, 'ok'>): Failure =>
  failure(outcome.code, undefined, outcome.askedMs === undefined ? {} : { nextDelayMs: outcome.askedMs });

const whySentence = {
  'never retried': 'Trying again would not help.',
  'may have happened': 'It may have had its effect, and the stage is not idempotent.',
  'others answered': 'The attempts are spent, and the upstream answered others meanwhile.',
  'tries spent': 'So many failures of this kind do not pass by waiting.',
  'attempts spent': 'The attempts are spent.',
  'time spent': 'The time is spent.',
  'wait beyond the budget': 'The wait it needs is longer than the time left.',
  'not admitted': 'No call was made, and it costs no attempt.',
  'retry budget spent': 'Too many runs are retrying on this upstream already.',
} as const;

/** As the question offers them. Whether the stage moves records is not known before; then its policy says it. */
function choices(failed: Failure, policy: Policy): string {
  const loses = acceptsLoss('', 'decision', { failure: failed }, policy) && !isMendedHere(failed);
  const kinds = offered({ stage: '', code: failed.code, skips: policy.onSkip !== undefined, acceptsLoss: loses });
  return kinds.length === 2 ? kinds.join(' or ') : [...kinds.slice(0, -1), `or ${kinds.at(-1)}`].join(', ');
}

/** What becomes of bad records under a limit, for whoever asks before there are any. */
export const limitSentence = (shareMax: number): string =>
  shareMax >= 1
    ? 'Bad records become letters, however many they are; only a run of which everything is bad asks.'
    : `Bad records become letters. More than ${+(shareMax * 100).toFixed(3)} % of them bad, and it asks; up to ten never make it ask, unless they are more than half, or all that a source has.`;

/** The same for one cell of a table. */
export const limitWords = (shareMax: number): string =>
  shareMax >= 1 ? 'asks only if all records are bad' : `asks above ${+(shareMax * 100).toFixed(3)} % bad records`;
