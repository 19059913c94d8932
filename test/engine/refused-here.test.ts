// What is promised here: runs that one worker refuses while the breaker of all admits come back now and then, not as fast as the machine can.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { serve } from '../../src/engine/worker.ts';
import { CodedError } from '../../src/model/failure.ts';
import { type Engine, openEngine } from '../support/engine.ts';
import { outageWorkflows, quickPace } from '../support/outage.ts';
import { call } from './pipelines-outage.ts';

const RUNS = 6;

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((stage) => [serve(call, { ask: stage('ask') })], {
    // Nobody listens there, and nobody calls: the breaker stays closed.
    upstreams: { 'http:api': { address: 'http://127.0.0.1:9' } },
    pace: { ...quickPace },
  });
  await engine.startWorker(outageWorkflows);
});
afterAll(() => engine?.close());

it('wait out what their worker told them before they try again', async () => {
  let refuses = true;
  engine.script('ask', () => {
    // As the breaker of a worker that has lost the store says it.
    if (refuses) throw new CodedError('breaker_open', 'Refused here.', { upstream: 'http:api', nextDelayMs: 1_500 });
    return 200;
  });
  const handles = await Promise.all(
    Array.from({ length: RUNS }, (_none, nth) =>
      engine.start('call', { input: { id: `run-${nth}` }, scope: `run-${nth}` }),
    ),
  );
  await engine.parked('ask');
  await sleep(6_000);
  // At most one each second, however they are let go.
  expect(engine.calls.length).toBeLessThanOrEqual(RUNS * 8);
  expect(engine.calls.length).toBeGreaterThanOrEqual(RUNS * 2);
  refuses = false;
  for (const handle of handles) expect(await engine.result(handle)).toMatchObject({ state: 'done', decisions: 0 });
});
