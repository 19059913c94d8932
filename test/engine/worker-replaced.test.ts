// What is promised here: a deployment just before an outage, or in the middle of it, keeps no breaker closed: the runs park, whatever the worker before was answered.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openOutage, type Outage, quickBreaker } from '../support/outage.ts';

let at: Outage;
beforeAll(async () => {
  // As declared by default: two workers have to see it, where two call.
  at = await openOutage({
    upstream: { breaker: { ...quickBreaker, workersMin: 2, cooldownMs: 2_000, cooldownMaxMs: 2_000 } },
  });
});
afterAll(() => at?.close());

it('opens the breaker for the worker that came after the one that was answered', async () => {
  const first = await at.startWorker();
  for (const handle of await at.runs(4, 'well-'))
    expect(await at.engine.result(handle)).toMatchObject({ state: 'done' });
  await first.stop();
  at.api.answer(503);
  const second = await at.startWorker();
  const before = at.api.seen.length;
  const handles = await at.runs(3, 'away-');
  await at.parked(3);
  const [trip] = await at.engine.rows<{ detail: object }>(
    `select detail from mendflow.breaker_event where to_state = 'open' order by id limit 1`,
  );
  expect(trip).toMatchObject({ detail: { consecutive: 3, workers: 1, worker: 'worker-2' } });
  // Those three, and what was under way when it opened.
  expect(at.api.seen.slice(before).length).toBeLessThanOrEqual(3 + 3);
  // Replaced again while they wait: the next one goes on where this one stopped.
  await second.stop();
  await at.startWorker();
  at.api.answer(200);
  for (const handle of handles) expect(await at.engine.result(handle)).toMatchObject({ state: 'done', decisions: 0 });
});
