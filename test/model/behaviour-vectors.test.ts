// What is promised here: the 36 behaviours that other retry, breaker and restart libraries agreed on hold here too, or it is said where and why not.
// Four of them need a database: test/classify/behaviour-vectors-flow.test.ts.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type BreakerState, freshBreaker, lookAt, reduceBreaker } from '../../src/model/breaker.ts';
import { CodedError, type Code, failure } from '../../src/model/failure.ts';
import { standard } from '../../src/model/policy.ts';
import { delayAfter } from '../../src/model/retry-clock.ts';
import { httpDate, waitAsked, waitingStatuses } from '../../src/model/retry-after.ts';
import type { Policy } from '../../src/model/spec.ts';
import { breakerDefaults } from '../../src/model/upstream.ts';
import { simulate } from '../simulation/stage.ts';

const file = join(import.meta.dirname, '../../../shared/data/http/behaviour-vectors/vectors.tsv');
const absent = !existsSync(file);
if (absent) console.warn(`Skipped: the behaviour vectors are not there (${file}).`);

interface Vector {
  readonly id: string;
  readonly given: string;
  readonly input: string;
  readonly expect: string;
}
const vectors = new Map<string, Vector>(
  absent
    ? []
    : readFileSync(file, 'utf8')
        .trimEnd()
        .split('\n')
        .slice(1)
        .map((line) => {
          const [id = '', , given = '', input = '', told = ''] = line.split('\t');
          return [id, { id, given, input: input.replaceAll('\\t', '\t'), expect: told }];
        }),
);
const seen = new Set<string>();
const of = (id: string): Vector => {
  seen.add(id);
  return vectors.get(id)!;
};
const inDatabase = ['dq-01', 'sk-01', 'rs-01', 'rt-01'];

/** A policy whose budget alone limits it. */
const policyOf = (more: Partial<Policy>): Policy => ({
  ...standard,
  budget: { attemptsMax: 1_000, time: '1 day' },
  ...more,
});
const status = (value: number): Error => Object.assign(new Error('answer'), { statusCode: value });
const reset = (): Error => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
const failing = (times: number, error: () => Error) => (attempt: number) => {
  if (attempt <= times) throw error();
};

describe.skipIf(absent)('Retry-After', () => {
  const clockOf = (given: string): number => Date.parse(/clock=(\S+);/.exec(given)![1]!);

  it.each(['ra-01', 'ra-02', 'ra-03', 'ra-04', 'ra-05', 'ra-06'])('%s', (id) => {
    const { given, input, expect: told } = of(id);
    const seconds = Number(/^wait (\d+) s$/.exec(told)![1]);
    expect(waitAsked({ 'retry-after': input }, { now: clockOf(given), status: 503 })).toBe(seconds * 1_000);
  });

  it('ra-07 a moment that is reached asks for no extra wait', () => {
    const { given, input } = of('ra-07');
    expect(httpDate(input)).toBe(clockOf(given));
    expect(waitAsked({ 'retry-after': input }, { now: clockOf(given), status: 503 })).toBe(0);
  });

  it.each(['ra-08', 'ra-09'])('%s is no header, and own backoff takes over', (id) => {
    const { given, input } = of(id);
    const now = clockOf(given);
    expect(waitAsked({ 'retry-after': input }, { now, status: 503 })).toBeUndefined();
    const course = simulate(
      failing(1, () => Object.assign(status(503), { headers: { 'retry-after': input } })),
      { policy: standard, startAt: now },
    );
    expect(course).toMatchObject({ end: 'done', waits: [1_000] });
  });

  it('ra-10 is clamped to the maximum that is configured', () => {
    const { given, input } = of('ra-10');
    const asked = { now: clockOf(given), status: 503 };
    expect(waitAsked({ 'retry-after': input }, { ...asked, maxMs: 21_600_000 })).toBe(21_600_000);
    expect(waitAsked({ 'retry-after': input }, asked)).toBe(21_601_000);
  });

  it('ra-status', () => {
    expect([...waitingStatuses].join(', ')).toBe(of('ra-status').input);
    for (let code = 300; code < 600; code++) {
      expect(waitAsked({ 'retry-after': '7' }, { status: code }) !== undefined).toBe(waitingStatuses.has(code));
      expect(waitAsked({ 'retry-after': '7' }, { status: code, statuses: new Set([code]) })).toBe(7_000);
    }
  });
});

describe.skipIf(absent)('backoff', () => {
  const waits = (backoff: Policy['backoff'], to: number, random = 0.5): number[] =>
    Array.from({ length: to }, (_, index) => delayAfter(failure('http_503'), index + 1, policyOf({ backoff }), random));

  it('bo-01 doubles to its cap; here the first wait is never none', () => {
    of('bo-01');
    const told = waits({ first: '0.2 seconds', factor: 2, max: '120 seconds' }, 12);
    expect(told.slice(1, 4)).toEqual([400, 800, 1_600]);
    expect(told[0]).toBe(200);
    expect(told.at(-1)).toBe(120_000);
  });

  it('bo-02 the cap holds after the spreading; here it spreads by ±50 %, not by what is added', () => {
    of('bo-02');
    for (const random of [0, 0.25, 0.5, 0.75, 0.999_999])
      for (const [index, wait] of waits({ first: '0.2 seconds', factor: 2, max: '1 second' }, 5, random).entries()) {
        expect(wait).toBeLessThanOrEqual(1_000);
        expect(wait).toBeGreaterThanOrEqual(0.5 * Math.min(200 * 2 ** index, 1_000));
      }
    expect(waits({ first: '0.2 seconds', factor: 2, max: '1 second' }, 5, 0.999_999).slice(3)).toEqual([1_000, 1_000]);
  });

  it('bo-03 1 2 4 8 16 32 64 128', () => {
    const told = waits({ first: '1 second', factor: 2, max: '1 hour' }, 8).map((wait) => wait / 1_000);
    expect(told.join(' ')).toBe(of('bo-03').expect);
  });

  it('bo-04 ends at its cap, and does not overflow', () => {
    const backoff = { first: '1 second', factor: 2, max: '40 seconds' } as const;
    const told = waits(backoff, 8).map((wait) => wait / 1_000);
    expect(of('bo-04').expect).toMatch(new RegExp(`^${told.join(' ')};`));
    expect(waits(backoff, 5_000).slice(49)).toEqual(Array.from({ length: 4_951 }, () => 40_000));
  });
});

describe.skipIf(absent)('a budget', () => {
  const policy = policyOf({
    backoff: { first: '300 milliseconds', factor: 2, max: '1 hour' },
    budget: { attemptsMax: 1_000, time: '6 seconds' },
  });

  it.each([
    ['rb-01', 1, [300]],
    ['rb-02', 3, [300, 600, 1_200]],
  ] as const)('%s heals after %i failures', (id, times, waits) => {
    of(id);
    expect(simulate(failing(times, reset), { policy })).toMatchObject({ end: 'done', calls: times + 1, waits });
  });

  it('rb-03 the last wait is cut to the deadline, six calls in all; here the stage then parks instead of failing', () => {
    of('rb-03');
    const course = simulate(failing(Infinity, reset), { policy, parksMax: 0 });
    expect(course.waits).toEqual([300, 600, 1_200, 2_400, 1_500]);
    expect(course).toMatchObject({ calls: 6, parks: [{ until: 'time', delayMs: 900_000 }] });
    expect(course.failures.at(-1)!.why).toBe('time spent');
  });

  it('rb-04 what retrying cannot heal is called once', () => {
    of('rb-04');
    expect(
      simulate(
        failing(Infinity, () => status(401)),
        { policy },
      ),
    ).toMatchObject({ calls: 1, waits: [], end: 'asking' });
  });

  it('rb-05 five retries are six calls', () => {
    of('rb-05');
    const six = policyOf({ budget: { attemptsMax: 6, time: '1 day' } });
    expect(simulate(failing(Infinity, reset), { policy: six, parksMax: 0 }).calls).toBe(6);
  });

  it.each([
    ['rb-06', () => Object.assign(new Error('B'), { code: '42601' })],
    ['rb-07', () => Object.assign(new Error('A'), { name: 'ApplicationFailure', type: 'A', nonRetryable: true })],
  ] as const)('%s is called once', (id, error) => {
    of(id);
    expect(simulate(failing(Infinity, error), { policy })).toMatchObject({ calls: 1, end: 'asking' });
  });

  it('rb-08 both conditions must hold; here the second is what an upstream declares of a code', () => {
    of('rb-08');
    const via = (codes: Partial<Record<Code, Code>>) => () => new CodedError(codes.http_500 ?? 'http_500');
    expect(simulate(failing(2, via({ http_500: 'http_501' })), { policy })).toMatchObject({ calls: 1, end: 'asking' });
    expect(simulate(failing(2, via({})), { policy })).toMatchObject({ calls: 3, end: 'done' });
  });
});

describe.skipIf(absent)('a breaker', () => {
  /** Calls as a caller makes them: asks, calls if admitted, reports. */
  function circuit(settings: Partial<BreakerState['settings']>) {
    const all = { ...breakerDefaults, consecutive: 1_000, workersMin: 1, cooldownJitter: 0, ...settings };
    let state = freshBreaker(all, 0);
    let now = 0;
    let tokens = 0;
    const acquire = () => {
      const step = reduceBreaker(state, { type: 'acquire', token: `t${tokens++}` }, now, 0);
      state = step.state;
      return step.answer;
    };
    const report = (end: 'S' | 'F', { epoch, token }: { epoch: number; token?: string }): void => {
      const counts = end === 'S' ? { ok: 1 } : { fail: 1, tail: 1 };
      state = reduceBreaker(state, { type: 'report', worker: 'w', epoch, token, ...counts }, now, 0).state;
    };
    return {
      acquire,
      report,
      wait: (ms: number) => (now += ms),
      state: () => state.state,
      admits: () => lookAt(state, now).admit,
      /** `S` and `F` of calls that were made, `-` of calls that were refused. */
      calls: (ends: string): string =>
        ends
          .replaceAll(' ', '')
          .split('')
          .map((end) => {
            const answer = acquire();
            if (answer.look?.admit !== true) return '-';
            report(end as 'S' | 'F', answer);
            return end;
          })
          .join(''),
    };
  }

  it('cb-01 fails four times with the real error, then at once', () => {
    const { given } = of('cb-01');
    expect(given).toContain('requestVolumeThreshold=4, failureRatio=0.75, delay 50 s');
    const breaker = circuit({ callsMin: 4, failureShare: 0.75, cooldownMs: 50_000 });
    expect(breaker.calls('F F F F S S S')).toBe('FFFF---');
    expect(breaker.wait(49_999) && breaker.admits()).toBe(false);
    expect(breaker.wait(1) && breaker.admits()).toBe(true);
  });

  it('cb-02 after a good trial the window is empty', () => {
    of('cb-02');
    const breaker = circuit({ callsMin: 4, failureShare: 0.75, cooldownMs: 50_000 });
    expect(breaker.calls('F F F F')).toBe('FFFF');
    breaker.wait(50_001);
    expect(breaker.calls('S F F F')).toBe('SFFF');
    expect(breaker.admits()).toBe(true);
    expect(breaker.calls('F S')).toBe('F-');
  });

  it('cb-03 half of four calls failed; here a success that comes last opens nothing, and the next failure does', () => {
    of('cb-03');
    const settings = { callsMin: 4, failureShare: 0.5 };
    expect(circuit(settings).calls('S F S F S')).toBe('SFSF-');
    const breaker = circuit(settings);
    expect(breaker.calls('S F F S')).toBe('SFFS');
    expect(breaker.calls('F S')).toBe('F-');
  });

  it('cb-04 three failures at a threshold of 1 %', () => {
    const { expect: told } = of('cb-04');
    const breaker = circuit({ callsMin: 3, failureShare: 0.01 });
    expect(['F', 'F', 'F'].map((end) => breaker.calls(end) && breaker.state()).join(', ')).toBe(told);
  });

  it('cb-05 one slow trial is under way, and no second is let through; it fails, and the breaker is open again', () => {
    of('cb-05');
    const breaker = circuit({ callsMin: 1, failureShare: 0.01, cooldownMs: 1_000 });
    expect(breaker.calls('F')).toBe('F');
    breaker.wait(1_000);
    const trial = breaker.acquire();
    expect(trial).toMatchObject({ look: { admit: true, trial: true } });
    expect(breaker.calls('S S S')).toBe('---');
    breaker.report('F', trial);
    expect([breaker.state(), breaker.admits()]).toEqual(['open', false]);
  });
});

describe.skipIf(absent)('what is stale', () => {
  it('st-01 may be served where an upstream answers 503; here nothing is kept that was not declared, so the stage waits', () => {
    of('st-01');
    expect(
      simulate(
        failing(Infinity, () => status(503)),
        { policy: standard, parksMax: 0 },
      ).end,
    ).toBe('waiting');
  });

  it('st-02 is never served in place of an answer that must be fresh: a closed connection is a failure', () => {
    of('st-02');
    const course = simulate(failing(9, reset), { policy: standard });
    expect(course.failures.map(({ code }) => code)).toEqual(Array.from({ length: 9 }, () => 'net_reset'));
    expect(course).toMatchObject({ end: 'done', calls: 10 });
  });
});

describe.skipIf(absent)('what may be repeated', () => {
  const faults = [
    [() => status(503), () => status(503)],
    [reset, reset],
    [reset, () => status(503)],
  ];

  it.each(['id-01', 'id-02'])('%s is, and heals', (id) => {
    of(id);
    for (const errors of faults) {
      const course = simulate(
        (attempt) => {
          const error = errors[attempt - 1];
          if (error) throw error();
        },
        { policy: standard },
      );
      expect(course).toMatchObject({ end: 'done', calls: 3, waits: [1_000, 2_000] });
    }
  });
});

afterAll(() => {
  if (absent) return;
  const other = readFileSync(join(import.meta.dirname, '../classify/behaviour-vectors-flow.test.ts'), 'utf8');
  for (const id of inDatabase) if (other.includes(`'${id} `)) seen.add(id);
  expect([...vectors.keys()].filter((id) => !seen.has(id))).toEqual([]);
  expect(seen.size).toBe(36);
});
