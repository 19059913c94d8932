// What lives here: what becomes of a stage whose activity ended in failure.
// Invariant: pure and total; every failure has a verdict, and only `heal: 'off'` makes it "fail".
// Apart because this one decision is what Mendflow is for; it has to be readable in one go.
import { ms } from './duration.ts';
import { type Code, type Failure, isCode, rowOf } from './failure.ts';
import type { DecisionKind } from './messages.ts';
import { STAND_BACK_MS, type Why } from './retry-clock.ts';
import type { Policy } from './spec.ts';

/** How the activity ended, as the guard (or the engine, for a lost worker) reports it. */
export interface Ended {
  readonly failure: Failure;
  readonly attempts: number;
  readonly elapsedMs: number;
  readonly why: Why;
}

export type Verdict =
  | { readonly do: 'park'; readonly until: 'time'; readonly delayMs: number }
  | { readonly do: 'park'; readonly until: 'upstream' }
  | { readonly do: 'park'; readonly until: 'decision' }
  | { readonly do: 'fail' };

/** What was asked for is waited for as it is only where it did not fit the budget; after a spent budget it can only make the slow phase slower. */
const waitMs = ({ failure, why }: Ended, policy: Policy): number => {
  const asked = failure.nextDelayMs ?? 0;
  return (why === 'wait beyond the budget' || why === 'retry budget spent') && asked > 0
    ? asked
    : Math.max(asked, ms(policy.slow));
};

/** As long as the guard says, who has dice to spread it; without a word half a minute. Never shorter than the shortest that the guard would draw. */
const standBackMs = ({ nextDelayMs = STAND_BACK_MS }: Failure): number => Math.max(nextDelayMs, STAND_BACK_MS / 2);

/** The engine's own stage that closes a run. */
export const CLOSE_STAGE = 'mendflow:close';

/**
 * Whether accepting a loss would do what it says: give up records that a stage has not read, rows that are there, or, when the run closes, what is bad.
 * Who waits for an upstream loses nothing by waiting, and a stage that moves no records has none to lose.
 */
export function acceptsLoss(
  stage: string,
  until: 'upstream' | 'time' | 'decision',
  ended: Pick<Ended, 'failure'> & { readonly moves?: boolean },
  policy: Pick<Policy, 'quarantineShareMax'> | undefined,
): boolean {
  if (until === 'upstream') return false;
  if (stage === CLOSE_STAGE) return ended.failure.code === 'quarantine_limit';
  return policy?.quarantineShareMax !== undefined && ended.moves !== false;
}

/** What no upstream and no record did: code or settings of ours are wrong, so all that was not read is as good as before, and more tries change nothing. */
const ours: ReadonlySet<Code> = new Set<Code>([
  'code_bug',
  'pg_statement',
  'payload_too_large',
  'stage_called_twice',
  'run_unbalanced',
]);
export const isMendedHere = ({ code }: Pick<Failure, 'code'>): boolean =>
  ours.has(code) || rowOf(code).fault === 'config';

/** The answer lies in a file, a record or what was counted: the next attempt meets the same, however many there are. */
const same: ReadonlySet<Code> = new Set<Code>([
  'file_missing',
  'file_vanished',
  'file_exists',
  'file_not_text',
  'source_shrunk',
  'source_rewritten',
  'rows_fewer',
  'rows_twice',
  'quarantine_limit',
  'dataset_gone',
  'volume_low',
]);

/** What a question is about, as far as it says which decisions can help. */
export interface Asking {
  readonly stage: string;
  readonly code: string;
  readonly skips: boolean;
  readonly acceptsLoss: boolean;
}

/** The decisions that can help: those that the question, `show` and `explain` offer. A code that is not known here may be healed by anything. */
export function offered({ stage, code, skips, acceptsLoss: loses }: Asking): DecisionKind[] {
  const canExtend = !isCode(code) || !(same.has(code) || isMendedHere({ code }));
  return [
    'retry',
    ...(canExtend ? (['extend-budget'] as const) : []),
    ...(skips && !stage.startsWith('mendflow:') ? (['skip'] as const) : []),
    ...(loses ? (['accept-loss'] as const) : []),
    'abort',
  ];
}

const wrongAnswer: ReadonlySet<Code> = new Set<Code>(['answer_cut', 'answer_unreadable', 'answer_refused']);

export function verdict(ended: Ended, policy: Policy, run: { heal: 'on' | 'off'; pastDeadline: boolean }): Verdict {
  if (run.heal === 'off') return { do: 'fail' };
  if (run.pastDeadline) return { do: 'park', until: 'decision' };
  const { failure } = ended;
  if (ended.why === 'not admitted') return { do: 'park', until: 'upstream' };
  if (ended.why === 'retry budget spent') return { do: 'park', until: 'time', delayMs: standBackMs(failure) };
  // A name that does not exist, a disk that does not read: seen so often that time is not the cure.
  if (ended.why === 'tries spent') return { do: 'park', until: 'decision' };
  // Others were answered all the time: it is this call that is wrong, and waiting does not change it.
  if (ended.why === 'others answered') return { do: 'park', until: 'decision' };
  // A payment that may have gone out: a person looks before it goes out again.
  if (ended.why === 'may have happened') return { do: 'park', until: 'decision' };
  switch (failure.class) {
    case 'permanent':
    case 'data':
    case 'unknown':
      return { do: 'park', until: 'decision' };
    case 'delayed':
    case 'throttled':
      return { do: 'park', until: 'time', delayMs: waitMs(ended, policy) };
    case 'transient':
      // Time heals what others do and what this machine lacks; it does not heal a wrong record, setting or line of code.
      // Nor an answer that comes, and comes wrong at each try.
      return (failure.fault === 'upstream' && !wrongAnswer.has(failure.code)) || failure.fault === 'self'
        ? { do: 'park', until: 'time', delayMs: waitMs(ended, policy) }
        : { do: 'park', until: 'decision' };
  }
}
