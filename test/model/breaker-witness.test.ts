// What is promised here: one broken worker opens nothing as long as another is answered, and a worker that is gone or idle keeps nothing closed.
import { expect, it } from 'vitest';
import { freshBreaker, reduceBreaker } from '../../src/model/breaker.ts';
import { breakerDefaults } from '../../src/model/upstream.ts';
import { play, settings, stories } from '../support/breaker-witnesses.ts';

it.each(stories)('$name', async ({ steps, opensAt }) => {
  let now = 1_800_000_000_000;
  let b = freshBreaker({ ...breakerDefaults, ...settings, cooldownJitter: 0 }, now);
  const opened = await play(steps, {
    report(worker, told) {
      const { state, answer } = reduceBreaker(b, { type: 'report', epoch: 1, worker, ...told }, now, 0);
      b = state;
      return answer.effect === 'opened';
    },
    leave: (worker) => void (b = reduceBreaker(b, { type: 'leave', worker }, now, 0).state),
    pass: (ms) => void (now += ms),
  });
  expect(opened).toBe(opensAt);
  expect(b.state).toBe(opensAt === undefined ? 'closed' : 'open');
});
