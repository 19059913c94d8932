// What is promised here: whatever is lost on the way, every parked run goes on: wake signals, the recovery itself, the control store, the run.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { breakerId, watchId } from '../../src/model/ids.ts';
import { openOutage, type Outage } from '../support/outage.ts';

let at: Outage | undefined;
afterEach(async () => {
  await at?.close();
  at = undefined;
});

const allDone = async (scene: Outage, handles: Awaited<ReturnType<Outage['runs']>>): Promise<void> => {
  for (const handle of handles)
    expect(await scene.engine.result(handle)).toMatchObject({ state: 'done', decisions: 0 });
  // Of a run that was terminated, watch removes the row once nobody has looked after it for a while.
  await scene.parked(0);
  expect(await scene.parks()).toEqual([]);
};

describe('parked runs', () => {
  it('go on within one look when every wake signal is lost', async () => {
    let lost = 0;
    at = await openOutage({
      pace: { recheckMs: 3_000 },
      interceptors: {
        client: {
          workflow: [
            {
              signal: async (input, next) => (input.signalName === 'wake' ? void lost++ : await next(input)),
            },
          ],
        },
      },
    });
    await at.startWorker();
    at.api.answer(503);
    const handles = await at.runs(12, 'lost-');
    await at.parked(12);
    at.api.answer(200);
    const backAt = Date.now();
    await allDone(at, handles);
    expect(lost).toBeGreaterThan(0);
    // A look for the canary, then looks of those let go: each within 3.6 s, and the waves go on when the rows say so.
    expect(Date.now() - backAt).toBeLessThan(40_000);
  });

  it('go on when the recovery was killed between the trip and its start, and again in the middle', async () => {
    at = await openOutage();
    await at.startWorker();
    const { client, prefix } = at.engine;
    at.api.answer(503);
    const handles = await at.runs(8, 'killed-');
    await at.parked(8);
    for (let kill = 0; kill < 3; kill++) {
      await client.workflow
        .getHandle(breakerId(prefix, 'http:api'))
        .terminate('test')
        .catch(() => undefined);
      await sleep(700);
    }
    // A canary that is under way has no row for a moment.
    await at.parked(8);
    at.api.answer(200);
    await allDone(at, handles);
  });

  it('go on when the recovery and watch were both terminated', async () => {
    at = await openOutage();
    await at.startWorker();
    const { client, prefix } = at.engine;
    at.api.answer(503);
    const handles = await at.runs(4, 'both-');
    await at.parked(4);
    await client.workflow.getHandle(watchId(prefix)).terminate('test');
    await client.workflow.getHandle(breakerId(prefix, 'http:api')).terminate('test');
    at.api.answer(200);
    await allDone(at, handles);
  });

  it('leave no row when their run was terminated, and canaries that are gone are skipped', async () => {
    at = await openOutage();
    await at.startWorker();
    at.api.answer(503);
    const handles = await at.runs(6, 'gone-');
    await at.parked(6);
    await Promise.all(handles.slice(0, 5).map((handle) => handle.terminate('test')));
    at.api.answer(200);
    await allDone(at, handles.slice(5));
  });

  it('leave no row when their run was terminated while the upstream stays away', async () => {
    at = await openOutage({ upstream: { breaker: { consecutive: 2, workersMin: 1, cooldownMs: 60_000 } } });
    await at.startWorker();
    at.api.answer(503);
    const handles = await at.runs(4, 'swept-');
    await at.parked(4);
    await handles[0]!.terminate('test');
    await at.parked(3);
  });

  it('go on after a reset with a park of their own', async () => {
    at = await openOutage();
    await at.startWorker();
    at.api.answer(503);
    const [handle] = await at.runs(1, 'reset-');
    // One run alone fails three times before its breaker is open.
    await at.parked(1);
    const { events } = await handle!.fetchHistory();
    const first = events!.find((event) => event.workflowTaskCompletedEventAttributes)!;
    await at.engine.client.workflowService.resetWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId: handle!.workflowId },
      reason: 'test',
      workflowTaskFinishEventId: first.eventId!,
      requestId: 'reset-1',
    });
    await sleep(1_000);
    at.api.answer(200);
    const latest = at.engine.client.workflow.getHandle(handle!.workflowId);
    expect(await at.engine.result(latest)).toMatchObject({ state: 'done' });
    for (let tries = 0; tries < 100 && (await at.parks()).length > 0; tries++) await sleep(100);
    expect(await at.parks()).toEqual([]);
  });
});
