// What is promised here: what the question about a small day offers, the engine takes: a day that really is so small is accepted as it is.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type DailyEngine, openDailyEngine } from './engine-scene.ts';
import { runOf } from './scene.ts';

let at: DailyEngine;
beforeAll(async () => {
  at = await openDailyEngine();
});
afterAll(() => at?.close());

it('goes on with a day without events when an operator accepts the loss', { timeout: 25_000 }, async () => {
  const date = '2018-03-01';
  const handle = await at.start(date);
  const park = await at.engine.parked('extract', runOf(date));
  expect(park).toMatchObject({ code: 'volume_low' });
  const accept = { kind: 'accept-loss', stage: 'extract', token: park.token, reason: 'a quiet day' } as const;
  expect(await at.engine.decide(handle, accept)).toMatchObject({ taken: true });
  expect(await at.engine.result(handle)).toMatchObject({ decisions: 1, read: 0, loaded: 0 });
});
