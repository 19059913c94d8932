// What lives here: stories of workers that come and go while an upstream is well or away, with what the breaker has to make of them.
// Invariant: plain data; each story is played against Postgres and against the reducer.
// Apart because both breakers have to hold the same two promises: one broken worker opens nothing, and a worker that is gone keeps nothing closed.
import type { Report } from '../../src/model/breaker.ts';

export type Told = Partial<Pick<Report, 'ok' | 'fail' | 'slow' | 'ended' | 'tail'>>;
/** A report of a worker, its goodbye, or time that passes. */
export type Step =
  | { readonly by: string; readonly told: Told }
  | { readonly leaves: string }
  | { readonly passMs: number };

export interface Story {
  readonly name: string;
  readonly steps: readonly Step[];
  /** Which report opens it, counted from the last that is not bad; undefined: none does. */
  readonly opensAt: number | undefined;
}

export const settings = {
  consecutive: 3,
  callsMin: 12,
  failureShare: 0.5,
  slowShare: 0.8,
  workersMin: 2,
} as const;

const ok = (by: string, times = 1): Step => ({ by, told: { ok: times } });
const fail = (by: string): Step => ({ by, told: { fail: 1, tail: 1 } });
const slow = (by: string): Step => ({ by, told: { slow: 1 } });
const pass = (passMs: number): Step => ({ passMs });
const times = (n: number, steps: readonly Step[]): Step[] => Array.from({ length: n }, () => steps).flat();
/** From one process to the next. */
const RESTART = pass(4_000);

export const stories: readonly Story[] = [
  {
    name: 'a worker that was replaced by another before the outage keeps nothing closed',
    steps: [...times(20, [ok('w1'), pass(500)]), RESTART, ...times(11, [fail('w2'), pass(100)])],
    opensAt: 3,
  },
  {
    name: 'nor does one that said goodbye a moment before',
    steps: [ok('w1', 20), { leaves: 'w1' }, pass(10), ...times(11, [fail('w2')])],
    opensAt: 3,
  },
  {
    name: 'nor one that was answered and has nothing to do since',
    steps: [...times(5, [ok('w1'), ok('w2'), pass(500)]), RESTART, ...times(11, [fail('w2'), pass(100)])],
    opensAt: 3,
  },
  {
    name: 'nor one that was killed after it met the outage itself',
    steps: [ok('w1', 20), fail('w1'), RESTART, ...times(11, [fail('w2'), pass(100)])],
    opensAt: 3,
  },
  {
    name: 'nor do ten that each were answered and replaced in a row',
    steps: [
      ...Array.from({ length: 10 }, (_, nth) => [ok(`w${nth}`, 3), RESTART]).flat(),
      ...times(11, [fail('w10'), pass(100)]),
    ],
    opensAt: 3,
  },
  {
    name: 'nor do ten that are replaced in the middle of the outage',
    steps: [ok('w1', 20), RESTART, ...Array.from({ length: 10 }, (_, nth) => [fail(`w2${nth}`), RESTART]).flat()],
    opensAt: 3,
  },
  {
    name: 'the answers of one that is gone make no share smaller: half of the calls fail',
    steps: [ok('w1', 500), RESTART, ...times(10, [fail('w2'), pass(100), ok('w2'), pass(100), fail('w2'), pass(100)])],
    opensAt: 1,
  },
  {
    name: 'nor the share of slow calls',
    steps: [ok('w1', 500), RESTART, ...times(20, [slow('w2'), pass(100)])],
    opensAt: 12,
  },
  {
    name: 'a broken worker beside one that calls every ten seconds opens nothing',
    steps: [
      ok('w2'),
      ...times(5, [pass(1_000), fail('w1'), pass(500), ok('w2'), ...times(8, [fail('w1'), pass(1_000)])]),
    ],
    opensAt: undefined,
  },
  {
    name: 'nor if all that it has in hand fails at once',
    steps: [
      ...times(10, [ok('w2', 3), pass(1_000)]),
      ...times(20, [fail('w1')]),
      pass(500),
      ok('w2'),
      ...times(20, [fail('w1')]),
    ],
    opensAt: undefined,
  },
  {
    name: 'nor by its share, where most of its calls fail',
    steps: [ok('w2'), ...times(20, [fail('w1'), fail('w1'), ok('w1'), pass(200), ok('w2'), pass(800)])],
    opensAt: undefined,
  },
  {
    name: 'nor where all its calls are slow',
    steps: [
      ok('w2'),
      ...times(20, [slow('w1'), slow('w1'), slow('w1'), slow('w1'), slow('w1'), pass(200), ok('w2'), pass(800)]),
    ],
    opensAt: undefined,
  },
  {
    name: 'until that one says goodbye: what nobody else is answered in is an outage',
    steps: [...times(5, [ok('w2'), pass(500), fail('w1')]), { leaves: 'w2' }, ...times(5, [fail('w1'), pass(100)])],
    opensAt: 3,
  },
];

/** Plays a story; `opens` tells whether that report opened it. */
export async function play(
  steps: readonly Step[],
  on: {
    report(by: string, told: Told): Promise<boolean> | boolean;
    leave(worker: string): Promise<void> | void;
    pass(ms: number): Promise<void> | void;
  },
): Promise<number | undefined> {
  let bad = 0;
  for (const step of steps) {
    if ('passMs' in step) await on.pass(step.passMs);
    else if ('leaves' in step) await on.leave(step.leaves);
    else if (await on.report(step.by, step.told)) return bad + 1;
    else bad = (step.told.fail ?? 0) + (step.told.slow ?? 0) > 0 ? bad + 1 : 0;
  }
  return undefined;
}
