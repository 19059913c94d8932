// What is promised here: whatever three workers do with two permits, in every order up to a depth, the breaker keeps its rules.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type BreakerState, freshBreaker, lookAt, reduceBreaker, type Step } from '../../src/model/breaker.ts';
import { breakerDefaults } from '../../src/model/upstream.ts';

const settings = {
  ...breakerDefaults,
  consecutive: 2,
  callsMin: 1_000,
  workersMin: 1,
  permits: 2,
  reissuesMax: 2,
  cooldownMs: 10_000,
  cooldownMaxMs: 20_000,
  leaseMs: 7_000,
  rampMs: 15_000,
  cooldownJitter: 0,
};

/** A worker with the call it has in hand. */
type Hand = { readonly epoch: number; readonly token: string | undefined } | undefined;
interface World {
  readonly b: BreakerState;
  readonly now: number;
  readonly hands: readonly Hand[];
  /** How it came about. */
  readonly path: string;
  readonly depth: number;
}

const legal = new Set([
  'closed>open',
  'open>half_open',
  'half_open>ramping',
  'half_open>open',
  'ramping>open',
  'ramping>closed',
]);

/** Two worlds that nothing can tell apart are one: only distances count, and which worker is which does not. */
function alike({ b, now, hands }: World): string {
  const left = (time: number | undefined): number | undefined => (time === undefined ? undefined : time - now);
  const held = hands.map((hand) => {
    if (!hand) return '-';
    const trial = b.trials.findIndex(({ token }) => token !== undefined && token === hand.token);
    return `${Math.min(b.epoch - hand.epoch, 2)}/${trial}`;
  });
  const trials = b.trials.map((one) => `${one.token === undefined}${left(one.leaseUntil)}${one.outcome}`);
  return JSON.stringify([
    b.state,
    b.mode,
    Math.min(b.streak, 2),
    b.hold !== undefined,
    b.consecutive,
    b.reissues,
    left(b.openUntil),
    b.state === 'ramping' ? left(b.changedAt) : 0,
    trials,
    held.sort(),
  ]);
}

/** The next moment at which something is due. */
function dueAt({ b, now }: World): number | undefined {
  const times = [
    b.openUntil,
    ...b.trials.map(({ leaseUntil }) => leaseUntil),
    b.state === 'ramping' ? b.changedAt + settings.rampMs : undefined,
  ];
  const coming = times.filter((time): time is number => time !== undefined && time > now);
  return coming.length === 0 ? undefined : Math.min(...coming);
}

/** As `expect`, which would take most of the time of a hundred thousand steps. */
const must = (holds: boolean, what: string, say: string): void => {
  if (!holds) expect.fail(`${say}: ${what}`);
};

function check(before: World, name: string, { state: b, answer }: Step, now: number): void {
  const was = before.b;
  const holds = (ok: boolean, what: string): void => must(ok, what, `${before.path} ${name}`);
  if (b.state === was.state) holds(b.epoch === was.epoch, 'the epoch changed and the state did not');
  else {
    holds(legal.has(`${was.state}>${b.state}`), `${was.state} > ${b.state}`);
    holds(b.epoch === was.epoch + 1, `epoch ${was.epoch}, then ${b.epoch}`);
  }
  holds(answer.epoch === b.epoch, `the answer's epoch is ${answer.epoch}, the state's ${b.epoch}`);
  const live = b.trials.filter(
    ({ token, leaseUntil, outcome }) => token !== undefined && outcome === undefined && leaseUntil! > now,
  );
  holds(live.length <= settings.permits, `${live.length} trials at once`);
  holds(b.trials.length > 0 === (b.state === 'half_open'), `${b.trials.length} trials when ${b.state}`);
  const forgotten = was.streak - b.streak;
  holds(forgotten <= (was.state === 'ramping' && b.state === 'closed' ? 1 : 0), `the streak lost ${forgotten}`);
  holds((b.openUntil !== undefined) === (b.state === 'open'), `open until ${b.openUntil} when ${b.state}`);
  if (b.hold) holds(b.state === 'open' || b.state === 'half_open', `held when ${b.state}`);
}

/** All that can happen next. */
function* next(world: World): Generator<World> {
  const { b, now, hands, path, depth } = world;
  const to = (name: string, step: Step, more: Partial<World> = {}): World => {
    check(world, name, step, more.now ?? now);
    return { b: step.state, now, hands, path: `${path} ${name};`, depth: depth + 1, ...more };
  };
  for (const [index, hand] of hands.entries()) {
    const holding = (value: Hand): Partial<World> => ({ hands: hands.with(index, value) });
    if (!hand) {
      const token = `t${depth}`;
      const step = reduceBreaker(b, { type: 'acquire', token }, now, 0);
      const { look, epoch } = step.answer;
      if (b.mode === 'forced_open') must(!look!.admit, 'lets through', path);
      if (b.mode === 'forced_closed') must(look!.admit, 'lets nobody through', path);
      if (look!.admit && step.answer.token === undefined && b.mode === 'auto')
        must(['closed', 'ramping'].includes(step.state.state), `lets through when ${step.state.state}`, path);
      yield to(`acquire${index}`, step, look!.admit ? holding({ epoch, token: step.answer.token }) : {});
      const decided = reduceBreaker(b, { type: 'acquire', token, decided: true }, now, 0);
      const granted = decided.answer.look!.admit;
      yield to(
        `decided${index}`,
        decided,
        granted ? holding({ epoch: decided.answer.epoch, token: decided.answer.token }) : {},
      );
      if (b.hold && b.mode === 'auto') must(!look!.admit, 'lets through though held', path);
      continue;
    }
    for (const [name, counts] of Object.entries({
      ok: { ok: 1 },
      fail: { fail: 1, tail: 1 },
      ignore: {},
      held: { hold: 'http_401', print: 'a' },
    })) {
      const step = reduceBreaker(b, { type: 'report', worker: `w${index}`, ...hand, ...counts }, now, 0);
      if (hand.epoch !== b.epoch) {
        must(step.answer.effect === 'late', `${step.answer.effect}, not late`, path);
        expect(step.state, path).toEqual({
          ...b,
          changedAt: Math.min(b.changedAt, now),
          openUntil: step.state.openUntil,
        });
      }
      yield to(`${name}${index}`, step, holding(undefined));
    }
    yield { ...world, ...holding(undefined), path: `${path} crash${index};`, depth: depth + 1 };
  }
  yield to('tick', reduceBreaker(b, { type: 'tick' }, now, 0));
  for (const mode of ['auto', 'forced_open', 'forced_closed'] as const)
    if (mode !== b.mode && (mode === 'auto' || b.mode === 'auto'))
      yield to(mode, reduceBreaker(b, { type: 'mode', mode, forMs: mode === 'auto' ? undefined : 1e12 }, now, 0));
  const due = dueAt(world);
  if (due !== undefined) yield { ...world, now: due, path: `${path} due;`, depth: depth + 1 };
  yield { ...world, now: now - 3_600_000, path: `${path} back;`, depth: depth + 1 };
}

/** Callers that all crash: the half-open state still ends, and does not wait for a good one. */
function endsBeingHalfOpen(world: World): void {
  let b: BreakerState = { ...world.b, mode: 'auto', modeUntil: undefined };
  let { now } = world;
  for (let round = 0; round < settings.permits * (settings.reissuesMax + 2) + 1 && b.state === 'half_open'; round++) {
    now += settings.leaseMs;
    const decided = b.hold !== undefined; // Only a decision tries a held one again, so somebody decides.
    b = reduceBreaker(b, { type: 'acquire', token: `end${round}`, decided }, now, 0).state;
  }
  expect(b.state, world.path).not.toBe('half_open');
}

it('keeps its rules in every order of events, ten deep', { timeout: 60_000 }, () => {
  const begin: World = {
    b: freshBreaker(settings, 0),
    now: 0,
    hands: [undefined, undefined, undefined],
    path: '',
    depth: 0,
  };
  const seen = new Set([alike(begin)]);
  const states = new Set<string>();
  let edge = [begin];
  for (let depth = 1; depth <= 10; depth++) {
    const reached: World[] = [];
    for (const world of edge)
      for (const found of next(world)) {
        const key = alike(found);
        if (seen.has(key)) continue;
        seen.add(key);
        states.add(found.b.state);
        if (found.b.state === 'half_open') endsBeingHalfOpen(found);
        reached.push(found);
      }
    edge = reached;
  }
  // A search that never leaves the first state would find nothing either.
  expect(states).toEqual(new Set(['closed', 'open', 'half_open', 'ramping']));
  expect(seen.size).toBeGreaterThan(1_000);
  process.stdout.write(`Ten deep: ${seen.size} worlds.\n`);
});

it('lengthens a cooldown with each opening, by chance only upwards, and never beyond the maximum', () => {
  const open = (streak: number, random: number): number => {
    const b = { ...freshBreaker({ ...breakerDefaults, consecutive: 1 }, 0), streak };
    return reduceBreaker(b, { type: 'report', worker: 'w', epoch: 1, fail: 1, tail: 1 }, 0, random).state.openUntil!;
  };
  fc.assert(
    fc.property(fc.nat(200), fc.double({ min: 0, max: 0.999, noNaN: true }), (streak, random) => {
      const even = Math.min(60_000 * 2 ** streak, 900_000);
      expect(open(streak, random)).toBeGreaterThanOrEqual(even);
      expect(open(streak, random)).toBeLessThanOrEqual(even * 1.1);
    }),
  );
});

it('does not remember a night of failed trials longer than the same time of calm', () => {
  const settings = { ...breakerDefaults, consecutive: 1, cooldownJitter: 0 };
  const fail = { type: 'report', worker: 'w', fail: 1, tail: 1 } as const;
  let b = freshBreaker(settings, 0);
  let now = 0;
  const cooldowns: number[] = [];
  const opens = (): void => {
    b = reduceBreaker(b, { ...fail, epoch: b.epoch }, now, 0).state;
    cooldowns.push(b.openUntil! - now);
  };
  const trial = (outcome: { ok?: number; fail?: number; tail?: number }): void => {
    now = b.openUntil!;
    const { state, answer } = reduceBreaker(b, { type: 'acquire', token: 't' }, now, 0);
    b = reduceBreaker(
      state,
      { type: 'report', worker: 'w', epoch: answer.epoch, token: 't', ...outcome },
      now,
      0,
    ).state;
  };
  const recovers = (): void => {
    trial({ ok: 1 });
    now += settings.rampMs;
    b = reduceBreaker(b, { type: 'tick' }, now, 0).state;
    expect(b.state).toBe('closed');
  };
  opens();
  for (let n = 0; n < 30; n++) trial({ fail: 1, tail: 1 });
  expect(b.openUntil! - now).toBe(settings.cooldownMaxMs);
  recovers();
  // A blip right after it is still the same weather; an hour of calm later it is a blip.
  for (let n = 0; n < 3; n++) {
    opens();
    recovers();
  }
  now += 3_600_000 + settings.cooldownMaxMs;
  opens();
  expect(cooldowns).toEqual([60_000, 900_000, 900_000, 900_000, 60_000]);
});

it('never gives two slots of a paced upstream within a second more than it may have', () => {
  const rates = fc.oneof(fc.integer({ min: 1, max: 200 }), fc.double({ min: 0.2, max: 50, noNaN: true }));
  fc.assert(
    fc.property(
      rates,
      fc.array(fc.tuple(fc.integer({ min: 1, max: 8 }), fc.nat(1_500)), { minLength: 5, maxLength: 30 }),
      (rate, asks) => {
        let b = freshBreaker(breakerDefaults, 0);
        let now = 0;
        const slots: number[] = [];
        for (const [count, laterMs] of asks) {
          now += laterMs;
          const { state, answer } = reduceBreaker(b, { type: 'pace', slots: count, callsPerSecond: rate }, now, 0);
          b = state;
          for (let index = 0; index < count; index++) slots.push(now + answer.waitMs! + index * answer.spacingMs!);
        }
        for (const [index, slot] of slots.entries())
          expect(slots.slice(index).filter((other) => other < slot + 1_000).length).toBeLessThanOrEqual(
            Math.max(1, rate),
          );
      },
    ),
    { numRuns: 200 },
  );
});

it('waits no longer after a clock was set back than its own maximum', () => {
  const b = reduceBreaker(
    freshBreaker({ ...settings, consecutive: 1 }, 0),
    { type: 'report', worker: 'w', epoch: 1, fail: 1, tail: 1 },
    0,
    0,
  ).state;
  const hourBefore = -3_600_000;
  expect(lookAt(b, hourBefore)).toMatchObject({ admit: false, stale: true, retryMs: 20_000 });
  const cut = reduceBreaker(b, { type: 'acquire', token: 't' }, hourBefore, 0).state;
  expect(lookAt(cut, hourBefore + 20_000)).toMatchObject({ admit: true, trial: true });
});
