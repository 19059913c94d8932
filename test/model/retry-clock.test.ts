// What is promised here: the budget is spent exactly, waits grow as declared, and never earlier than the other side asked.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codes, failure, type Code } from '../../src/model/failure.ts';
import { document, standard } from '../../src/model/policy.ts';
import type { Policy } from '../../src/model/spec.ts';
import { afterFailure, delayAfter, emptyTally, grantOf, standBack, type Tally } from '../../src/model/retry-clock.ts';

const grant = grantOf(standard);
const middle = 0.5;
const after = (
  before: Tally,
  code: Code,
  more: { now?: number; progressed?: boolean; askedMs?: number; policy?: Policy } = {},
) =>
  afterFailure(before, failure(code, 'x', more.askedMs === undefined ? {} : { nextDelayMs: more.askedMs }), {
    policy: more.policy ?? standard,
    grant,
    now: more.now ?? 0,
    random: middle,
    progressed: more.progressed ?? false,
  });

describe('a wait', () => {
  it.each([
    ['begins anew with a new budget', { attemptBase: 5 }, 1_000],
    ['grows on in the rest of a budget', { attemptBase: 5, budgetBase: 3 }, 4_000],
    ['grows on where an operator added attempts', { attemptBase: 5, extends: true }, 30_000],
  ] as const)('%s', (_what, more, delayMs) =>
    expect(
      afterFailure(emptyTally, failure('http_503'), {
        policy: standard,
        grant: { ...grant, ...more },
        now: 0,
        random: middle,
        progressed: false,
      }),
    ).toMatchObject({ next: 'retry', delayMs }),
  );

  it.each([
    [1, 1_000],
    [2, 2_000],
    [3, 4_000],
    [4, 8_000],
    [5, 16_000],
    [6, 30_000],
    [60, 30_000],
    [5_000, 30_000],
  ])('after failure %i is %i ms', (n, expected) =>
    expect(delayAfter(failure('http_503'), n, standard, middle)).toBe(expected),
  );

  it('of document 002 is capped at a minute', () =>
    expect(delayAfter(failure('http_503'), 9, document, middle)).toBe(60_000));

  it.each([
    [1, 30_000],
    [2, 60_000],
    [9, 900_000],
  ])('of what needs time is longer: %i failures, %i ms', (n, expected) =>
    expect(delayAfter(failure('pg_resources'), n, standard, middle)).toBe(expected),
  );

  it.each([
    ['pg_starting', 1, 1_000],
    ['pg_starting', 2, 2_000],
    ['pg_starting', 5, 16_000],
    ['pg_starting', 30, 900_000],
    ['pg_pool_spent', 1, 1_000],
  ] as const)('of what passes soon is short and grows: %s, %i failures, %i ms', (code, n, expected) =>
    expect(delayAfter(failure(code), n, standard, middle)).toBe(expected),
  );

  it('of a database that restarts is short, also behind the refusals and lost connections before it', () => {
    let tally = emptyTally;
    const waits = (
      ['pg_connection_lost', 'net_refused', 'net_refused', 'net_refused', 'pg_starting', 'pg_starting'] as const
    ).map((code) => {
      const next = afterFailure(tally, failure(code), {
        policy: standard,
        grant: grantOf(standard),
        now: 0,
        random: 0.999,
        progressed: false,
      });
      tally = next.tally;
      return next.next === 'retry' ? next.delayMs : -1;
    });
    expect(waits.slice(4)).toEqual([1_499, 2_998]);
  });

  it('is never shorter than asked, and never none because nonsense was asked', () => {
    const code = fc.constantFrom(...(Object.keys(codes) as Code[]));
    const dice = fc.double({ min: 0, max: 0.999_999, noNaN: true });
    fc.assert(
      fc.property(
        code,
        fc.integer({ min: 1, max: 50 }),
        dice,
        fc.integer({ min: 1, max: 1e8 }),
        (name, n, random, asked) => {
          const waited = delayAfter(failure(name, 'x', { nextDelayMs: asked }), n, standard, random);
          expect(waited).toBeGreaterThanOrEqual(asked);
          expect(waited).toBeLessThanOrEqual(Math.ceil(asked * 1.1));
          const own = delayAfter(failure(name), n, standard, random);
          expect(own).toBeGreaterThanOrEqual(500);
          expect(own).toBeLessThanOrEqual(['delayed', 'throttled'].includes(codes[name].class) ? 900_000 : 30_000);
          for (const nonsense of [0, -5_000, Number.NaN])
            expect(delayAfter(failure(name, 'x', { nextDelayMs: nonsense }), n, standard, random)).toBe(own);
        },
      ),
    );
  });
});

describe('a budget', () => {
  it('of eight attempts ends at the eighth failure', () => {
    let tally = emptyTally;
    for (let n = 1; n < 8; n++) {
      const next = after(tally, 'http_503', { now: n });
      expect(next).toMatchObject({ next: 'retry', tally: { failures: n, ended: n, lastCode: 'http_503' } });
      tally = next.tally;
    }
    expect(after(tally, 'http_503', { now: 8 })).toMatchObject({
      next: 'stop',
      why: 'attempts spent',
      tally: { failures: 8 },
    });
  });

  it('of time is counted from the first failure, and the last wait ends with it', () => {
    const first = after(emptyTally, 'http_503', { now: 1_000 }).tally;
    expect(after(first, 'http_503', { now: 300_500 })).toMatchObject({ next: 'retry', delayMs: 500 });
    expect(after(first, 'http_503', { now: 301_000 })).toMatchObject({ next: 'stop', why: 'time spent' });
  });

  it('stops where the wait that was asked for is longer than what is left', () => {
    expect(after(emptyTally, 'http_503_retry_after', { askedMs: 299_000 })).toMatchObject({
      next: 'stop',
      why: 'wait beyond the budget',
    });
    expect(after(emptyTally, 'http_503_retry_after', { askedMs: 10_000 })).toMatchObject({
      next: 'retry',
      delayMs: 10_500,
    });
  });

  it('is never spent on what retrying cannot heal', () => {
    for (const code of Object.keys(codes) as Code[]) {
      const never = codes[code].class === 'permanent' || codes[code].class === 'data';
      const next = after(emptyTally, code);
      if (never) expect(next).toMatchObject({ next: 'stop', why: 'never retried' });
      else if (code === 'breaker_open') expect(next).toMatchObject({ why: 'not admitted', tally: { failures: 0 } });
      else expect(next, code).toMatchObject({ next: 'retry' });
    }
  });

  it('is two tries for what nobody knows, however they are mixed with others', () => {
    const one = after(emptyTally, 'unknown').tally;
    const two = after(one, 'http_503').tally;
    expect(after(two, 'unknown')).toMatchObject({ next: 'stop', why: 'attempts spent' });
  });

  it('is what its row says for a code of which more tries are no use', () => {
    for (const [code, tries] of [
      ['dns_unknown', 3],
      ['tls_failed', 2],
      ['file_io', 2],
      ['pg_io', 3],
    ] as const) {
      let tally = emptyTally;
      for (let n = 1; n < tries; n++) {
        const next = after(tally, code, { now: n });
        expect(next, `${code} ${n}`).toMatchObject({ next: 'retry' });
        tally = after(next.tally, 'http_503', { now: n }).tally;
      }
      expect(after(tally, code, { now: 9 }), code).toMatchObject({ next: 'stop', why: 'tries spent' });
      // A beat of a worker that did not count by code yet.
      const { perCode: _, ...older } = emptyTally;
      expect(after(older, code)).toMatchObject({ next: 'retry', tally: { perCode: { [code]: 1 } } });
      expect(after({ ...tally, failures: 7 }, code, { progressed: true })).toMatchObject({ next: 'retry' });
    }
  });

  it('of what is not idempotent ends where the call may have had its effect', () => {
    const payment = { ...standard, idempotent: false };
    expect(after(emptyTally, 'net_reset', { policy: payment })).toMatchObject({
      next: 'stop',
      why: 'may have happened',
    });
    expect(after(emptyTally, 'net_refused', { policy: payment })).toMatchObject({ next: 'retry' });
    expect(after(emptyTally, 'net_reset', { policy: { ...standard, idempotent: true } })).toMatchObject({
      next: 'retry',
    });
    expect(after(emptyTally, 'breaker_open', { policy: payment })).toMatchObject({ next: 'stop', why: 'not admitted' });
  });

  it('that is spent by all runs together makes the stage stand back, and is no failure of its own', () => {
    const next = after(emptyTally, 'http_503');
    const failed = failure('http_503');
    for (const [random, nextDelayMs] of [
      [0, 15_000],
      [0.5, 30_000],
      [0.999_99, 45_000],
    ] as const)
      expect(standBack(next, failed, random)).toMatchObject({
        next: { next: 'stop', why: 'retry budget spent', tally: { failures: 1 } },
        failure: { code: 'http_503', nextDelayMs },
      });
    expect(standBack(next, { ...failed, nextDelayMs: 120_000 }, 0.5).failure.nextDelayMs).toBe(120_000);
  });

  it('starts anew when records were committed since the last failure', () => {
    let tally = emptyTally;
    for (let n = 1; n <= 7; n++) tally = after(tally, 'http_503', { now: n }).tally;
    expect(after(tally, 'http_503', { now: 400_000, progressed: true })).toMatchObject({
      next: 'retry',
      delayMs: 1_000,
      tally: { failures: 1, ended: 8, firstFailureAt: 400_000 },
    });
  });

  it('always ends, within its attempts and its time, whatever fails when', () => {
    const code = fc.constantFrom<Code>('http_503', 'http_429', 'pg_starting', 'unknown', 'worker_lost', 'http_500');
    const step = fc.record({
      code,
      tookMs: fc.integer({ min: 0, max: 60_000 }),
      random: fc.double({ min: 0, max: 0.999, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 8, maxLength: 8 }), (steps) => {
        let tally = emptyTally;
        let now = 0;
        for (const [index, { code: name, tookMs, random }] of steps.entries()) {
          now += tookMs;
          const next = afterFailure(tally, failure(name), { policy: standard, grant, now, random, progressed: false });
          tally = next.tally;
          if (next.next === 'stop') return;
          expect(index).toBeLessThan(7);
          expect(now + next.delayMs - tally.firstFailureAt!).toBeLessThanOrEqual(grant.timeMs);
          now += next.delayMs;
        }
        expect.unreachable('eight failures and no end');
      }),
    );
  });
});
