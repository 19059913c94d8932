// What is promised here: the budget of a stage goes by Temporal's time, whatever the clocks of the workers show that its attempts meet, and not by attempts lost with them.
import { afterEach, expect, it, vi } from 'vitest';
import { standard } from '../../src/model/policy.ts';
import { guardedStage } from '../seeds/guarded.ts';

afterEach(() => void vi.useRealTimers());

const HOUR_MS = 3_600_000;
const policy = { ...standard, budget: { attemptsMax: 4, time: '10 minutes' } } as const;

it.each([
  ['ahead of the one before', HOUR_MS],
  ['behind the one before', -HOUR_MS],
])('a worker whose clock is an hour %s neither cuts the budget short nor makes it longer', async (_how, shiftMs) => {
  vi.useFakeTimers({ toFake: ['Date'] });
  const { delays, failure } = await guardedStage('load', policy, () => {
    // The next attempt is made by another worker.
    vi.setSystemTime(Date.now() + shiftMs);
    throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
  });
  expect(failure).toMatchObject({ attempts: 4, why: 'attempts spent' });
  expect(delays).toHaveLength(3);
  expect(failure!.elapsedMs).toBeGreaterThanOrEqual(0);
  expect(failure!.elapsedMs).toBeLessThan(60_000);
});

it('attempts that were lost with their worker have a number as all have, also where the stage gives up, and are not charged', async () => {
  const numbers: number[] = [];
  const nothing = (): Promise<void> => Promise.resolve();
  const stageLog = {
    started: nothing,
    refused: nothing,
    done: nothing,
    failed: async (_call: unknown, attempt: number) => void numbers.push(attempt),
  };
  const grant = { attemptsMax: 4, timeMs: 600_000, attemptBase: 2 };
  const code = (): never => {
    throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
  };
  const { failure } = await guardedStage('load', policy, code, { grant, around: { stageLog }, lost: 1 });
  // Two before this grant, one lost, four that failed: a park tells of seven, as the ledger has them.
  expect(numbers).toEqual([4, 5, 6, 7]);
  expect(failure).toMatchObject({ attempts: 5, spent: 4, why: 'attempts spent' });
});
