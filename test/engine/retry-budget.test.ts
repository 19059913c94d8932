// What is promised here: a storm of failures is not answered by a storm of retries.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { setMode } from '../../src/store/breakers.ts';
import { openOutage, type Outage } from '../support/outage.ts';

const RUNS = 30;
/** What the budget holds, and what came to it: one each ten seconds since `fromMs`. */
const retriesMax = (fromMs: number): number => 11 + Math.ceil((Date.now() - fromMs) / 10_000);

interface Park {
  readonly run: string;
  readonly until: string;
  readonly code: string;
  readonly attempts: number;
  readonly since: string;
  readonly inMs: number;
}

let at: Outage;
const parks = async (): Promise<Park[]> =>
  await at.engine.rows(
    `select run_key as run, until, code, attempts, since::text, (extract(epoch from wake_at - since) * 1000)::int as "inMs" from mendflow.parked_run`,
  );
beforeAll(async () => {
  at = await openOutage();
  await at.startWorker();
});
afterAll(() => at?.close());

it('parks the runs of an upstream whose retries are spent, for a while and with nobody asked', async () => {
  // The breaker only watches, so that nothing but the budget holds the retries back.
  await setMode(at.engine.pool, 'http:api', { mode: 'observe', by: 'ann', why: 'test' });
  at.api.answer(503);
  const fromMs = Date.now();
  const handles = await at.runs(RUNS, 'storm-');
  // The first park of each run: on a slow machine the first to park is awake again before the last one parks.
  const firstParks = new Map<string, Park>();
  for (let tries = 0; tries < 300 && firstParks.size < RUNS; tries++) {
    for (const park of await parks()) if (!firstParks.has(park.run)) firstParks.set(park.run, park);
    await sleep(100);
  }
  const waiting = [...firstParks.values()];
  expect(waiting).toHaveLength(RUNS);
  expect(at.api.seen.length).toBeGreaterThan(RUNS);
  // Each run calls once and once more after each park that is over (one may end before its row is written), or just ending; the budget pays for a dozen more. Without it each would call four times.
  const calls = at.api.seen.length;
  const [over] = await at.engine.rows<{ n: number }>(
    `select ((select count(*) from (select run_key, token from mendflow.past_park union select run_key, token from mendflow.ended_park) over_now)
       + (select count(*) from mendflow.parked_run where wake_at <= clock_timestamp() + interval '1 second'))::int as n`,
  );
  expect(calls).toBeLessThanOrEqual(RUNS + retriesMax(fromMs) + over!.n);
  const stoodBack = waiting.filter(({ inMs }) => inMs >= 14_000 && inMs <= 46_000);
  expect(stoodBack.length).toBeGreaterThanOrEqual(RUNS - retriesMax(fromMs));
  expect(new Set(stoodBack.map(({ inMs }) => inMs)).size).toBeGreaterThan(1);
  expect(stoodBack.every(({ until, code }) => until === 'time' && code === 'http_503')).toBe(true);
  at.api.answer(200);
  // Most of a minute later they would come by themselves; the test does not wait for those that have not yet.
  await Promise.allSettled(
    handles.map((handle) => at.engine.decide(handle, { kind: 'retry', actor: 'ann', reason: 'no time' })),
  );
  for (const handle of handles) expect(await at.engine.result(handle)).toMatchObject({ state: 'done', balanced: true });
});

it('tries an upstream that fails behind a breaker forced closed no faster than without the breaker', async () => {
  const { pool } = at.engine;
  await setMode(pool, 'http:api', { mode: 'auto', by: 'ann', why: 'test' });
  at.api.answer(503);
  const [handle] = await at.runs(1, 'forced-');
  await at.parked(1);
  const before = at.api.seen.length;
  const fromMs = Date.now();
  await setMode(pool, 'http:api', { mode: 'forced_closed', untilMs: 60_000, by: 'ann', why: 'test' });
  for (let tries = 0; tries < 300 && at.api.seen.length === before; tries++) await sleep(50);
  await sleep(5_000);
  const calls = at.api.seen.length - before;
  expect(calls).toBeGreaterThan(0);
  expect(calls).toBeLessThanOrEqual(retriesMax(fromMs));
  at.api.answer(200);
  await at.engine.decide(handle!, { kind: 'retry', actor: 'ann', reason: 'no time' });
  expect(await at.engine.result(handle!)).toMatchObject({ state: 'done' });
});
