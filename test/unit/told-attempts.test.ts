// What is promised here: what a stage says of its attempts counts attempts and time from the same beginning, and is an error only where somebody has to look.
import { describe, expect, it } from 'vitest';
import type { Around } from '../../src/engine/activity/guard.ts';
import { spent } from '../../src/model/attempts.ts';
import { type Code, CodedError } from '../../src/model/failure.ts';
import { standard } from '../../src/model/policy.ts';
import { grantOf } from '../../src/model/retry-clock.ts';
import { guardedStage, type Told } from '../seeds/guarded.ts';

const policy = { ...standard, budget: { attemptsMax: 8, time: '5 minutes' } } as const;
const UPSTREAM = 'http:main_api';

const around = (upstreams: Partial<NonNullable<Around['upstreams']>>): Around => ({
  upstreams: { spendRetry: () => true, isOpen: () => false, answersOthers: () => false, ...upstreams },
});

const failing = (code: Code, nextDelayMs?: number) => (): never => {
  throw new CodedError(code, 'It went wrong.', {
    upstream: UPSTREAM,
    ...(nextDelayMs === undefined ? {} : { nextDelayMs }),
  });
};
const texts = ({ lines }: Told): string[] => lines.map(({ level, message }) => `${level} ${message}`);

describe('a stage that waits', () => {
  it('because the retries of its upstream are spent, says that and until when, and gives up nothing', async () => {
    const told = await guardedStage('extract', policy, failing('http_503'), {
      around: around({ spendRetry: () => false }),
    });
    expect(texts(told)).toEqual([
      expect.stringMatching(
        /^WARN Attempt 1 of 8 failed: It went wrong\. The retries that all runs together may send to http:main_api are spent, so the stage is parked and goes on by itself in \d+ s\.$/,
      ),
    ]);
  });

  it('because the breaker of its upstream is open, says that', async () => {
    const told = await guardedStage('extract', policy, failing('http_503'), {
      around: around({ spendRetry: () => false, isOpen: () => true }),
    });
    expect(texts(told)).toEqual([
      'WARN Attempt 1 of 8 failed: It went wrong. The breaker of http:main_api is open, so the stage is parked until it lets calls through.',
    ]);
  });

  it('because it was asked to wait longer than its budget, says that', async () => {
    const told = await guardedStage('extract', policy, failing('http_429', 3_600_000));
    expect(texts(told)).toEqual([
      'WARN Attempt 1 of 8 failed: It went wrong. It is to wait for longer than its budget lasts, so the stage is parked and goes on by itself in 1 h.',
    ]);
  });

  it('in the slow phase, says when the next try is, and is no new alarm each time', async () => {
    const grant = { ...grantOf(policy), attemptsMax: 1, attemptBase: 8, firstFailureAt: -600_000 };
    const told = await guardedStage('extract', policy, failing('http_503'), { grant });
    expect(texts(told)).toEqual([
      expect.stringMatching(
        /^WARN Attempt 9 \(one at a time since the budget is spent\) failed: It went wrong\. The stage is parked and goes on by itself in 15 min\.$/,
      ),
    ]);
  });
});

describe('a stage that gives up', () => {
  it('says the time only where it tried more than once', async () => {
    expect(texts(await guardedStage('load', policy, failing('http_400')))).toEqual([
      'ERROR Stage load gave up after 1 attempt: It went wrong.',
    ]);
  });

  it('counts the time from the first failure that it counts as an attempt, also over a decision', async () => {
    const grant = { ...grantOf(policy), attemptBase: 1, firstFailureAt: -120_000 };
    const told = await guardedStage('load', policy, failing('http_400'), { grant });
    expect(texts(told)).toEqual([
      'ERROR Stage load gave up after 2 attempts, 2 min after the first failure: It went wrong.',
    ]);
    expect(told.failure!.elapsedMs).toBeGreaterThanOrEqual(120_000);
  });
});

describe('the number of attempts', () => {
  it('is followed by why there are more of them than before', async () => {
    const grant = { ...grantOf(policy), attemptBase: 1 };
    const told = await guardedStage('load', policy, failing('http_503'), { grant });
    expect(texts(told)[0]).toMatch(/^WARN Attempt 2 of 9 \(a new budget of 8 began after attempt 1\) failed: /);
    expect(texts(told)[1]).toMatch(/^WARN Attempt 3 of 9 \(a new budget of 8 began after attempt 1\) failed: /);
  });

  it('is of one budget, however often the stage stood back since that began', async () => {
    const grant = { ...grantOf(policy), attemptsMax: 6, attemptBase: 3, budgetBase: 1 };
    const told = await guardedStage('load', policy, failing('http_503'), { grant });
    expect(texts(told)[0]).toMatch(/^WARN Attempt 4 of 9 \(a new budget of 8 began after attempt 1\) failed: /);
  });

  it('stays the same where a stage only stood back for others', async () => {
    const grant = { ...grantOf(policy), attemptsMax: 7, attemptBase: 1, budgetBase: 0 };
    const told = await guardedStage('load', policy, failing('http_503'), { grant });
    expect(texts(told)[0]).toMatch(/^WARN Attempt 2 of 8 failed: /);
  });

  it.each([
    [0, 0, 'no attempt'],
    [0, 5_000, 'no attempt'],
    [1, 0, '1 attempt'],
    [1, 3_000, '1 attempt, 3.0 s after the first failure'],
    [2, 0, '2 attempts'],
    [2, 90_000, '2 attempts, 1 min 30 s after the first failure'],
  ])('%d in %d ms reads as %s', (attempts, elapsedMs, words) => expect(spent(attempts, elapsedMs)).toBe(words));
});
