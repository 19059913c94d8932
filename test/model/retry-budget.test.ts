// What is promised here: all runs of a worker together send at most a tenth more calls to an upstream, and an hourly pipeline still gets its retry.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fullRetryBudget, type RetryBudget, spend, succeed } from '../../src/model/retry-budget.ts';

const after = (successes: number, from: RetryBudget): RetryBudget => {
  let budget = from;
  for (let n = 0; n < successes; n++) budget = succeed(budget);
  return budget;
};
const spendAll = (from: RetryBudget, now: number, asked: number): { granted: number; budget: RetryBudget } => {
  let budget = from;
  let granted = 0;
  for (let n = 0; n < asked; n++) {
    const { allowed, state } = spend(budget, now);
    budget = state;
    granted += Number(allowed);
  }
  return { granted, budget };
};

describe('the retries of one upstream', () => {
  it('are ten at first and one of the reserve, then none', () => {
    expect(spendAll(fullRetryBudget, 1_000, 100).granted).toBe(11);
  });

  it('are one more for every ten calls that succeed, and never more than ten are saved up', () => {
    const spent = spendAll(fullRetryBudget, 1_000, 100).budget;
    expect(spendAll(after(9, spent), 1_001, 5).granted).toBe(0);
    expect(spendAll(after(10, spent), 1_001, 5).granted).toBe(1);
    expect(spendAll(after(35, spent), 1_001, 5).granted).toBe(3);
    expect(spendAll(after(5_000, spent), 1_001, 50).granted).toBe(10);
  });

  it('are one in ten seconds where nothing succeeds, however long it was quiet', () => {
    let { budget } = spendAll(fullRetryBudget, 0, 100);
    let granted = 0;
    for (let now = 0; now < 600_000; now += 500) {
      const asked = spendAll(budget, now, 3);
      budget = asked.budget;
      granted += asked.granted;
    }
    expect(granted).toBe(59);
    expect(spendAll(budget, 86_400_000, 10).granted).toBe(1);
  });

  it('do not stop for a clock that was set back', () => {
    const { budget } = spendAll(fullRetryBudget, 86_400_000, 100);
    const back = spend(budget, 1_000);
    expect(back.allowed).toBe(false);
    expect(spend(back.state, 11_000).allowed).toBe(true);
  });

  it('are at most 10 + a tenth of the successes + one for each ten seconds begun, whatever happens', () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.constant('retry' as const) },
      { weight: 3, arbitrary: fc.constant('success' as const) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 20_000 }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        let budget = fullRetryBudget;
        let [now, granted, successes] = [0, 0, 0];
        for (const one of steps) {
          if (one === 'success') {
            budget = succeed(budget);
            successes++;
          } else if (one === 'retry') {
            const { allowed, state } = spend(budget, now);
            budget = state;
            granted += Number(allowed);
          } else now += one;
          expect(granted).toBeLessThanOrEqual(10 + successes / 10 + Math.floor(now / 10_000) + 1);
        }
      }),
    );
  });
});
