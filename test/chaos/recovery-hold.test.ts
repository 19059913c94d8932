// What is promised here: a credential that has expired asks once for all runs, and one answer lets all of them finish.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { secret } from '../../src/model/upstream.ts';
import { openOutage, type Outage, quickBreaker } from '../support/outage.ts';

let at: Outage | undefined;
afterEach(async () => {
  await at?.close();
  at = undefined;
});

const RUNS = 20;

async function held(credential: () => string, cooldownMs = quickBreaker.cooldownMs): Promise<Outage> {
  at = await openOutage({
    upstream: {
      headers: { authorization: secret('API_TOKEN') },
      concurrency: 5,
      breaker: { ...quickBreaker, cooldownMs, cooldownMaxMs: Math.max(cooldownMs, quickBreaker.cooldownMaxMs) },
    },
    secrets: () => credential(),
  });
  await at.startWorker();
  return at;
}

describe('an expired credential', () => {
  it('asks once for twenty runs, and one retry lets all of them finish', async () => {
    let accepted = false;
    const scene = await held(() => 'key-1');
    scene.api.answer(() => (accepted ? 200 : 401));
    const handles = await scene.runs(RUNS, 'held-');
    await scene.parked(RUNS - 1);
    await scene.parked(1, 'decision');
    const calls = scene.api.seen.length;
    // Several were on their way when the first answer came; after that nobody calls, however often the cooldown passes.
    await sleep(3_000);
    expect(scene.api.seen.length).toBe(calls);
    expect(calls).toBeLessThanOrEqual(5);
    const parks = await scene.parks();
    expect(parks.filter(({ until }) => until === 'decision')).toMatchObject([{ code: 'http_401', attempts: 1 }]);
    accepted = true;
    const asks = parks.find(({ until }) => until === 'decision')!;
    const asker = scene.engine.client.workflow.getHandle(asks.workflow_id);
    await scene.engine.decide(asker, { kind: 'retry', token: asks.token, actor: 'ann', reason: 'account unlocked' });
    const ended = await Promise.all(handles.map((handle) => scene.engine.result(handle)));
    expect(ended.map(({ state }) => state)).toEqual(Array.from({ length: RUNS }, () => 'done'));
    expect(ended.reduce((sum, { decisions }) => sum + decisions, 0)).toBe(1);
  });

  it('asks again when the retry came too early, still once', async () => {
    const scene = await held(() => 'key-1');
    scene.api.answer(401);
    await scene.runs(6, 'early-');
    await scene.parked(5);
    await scene.parked(1, 'decision');
    const before = (await scene.parks()).find(({ until }) => until === 'decision')!;
    const asker = scene.engine.client.workflow.getHandle(before.workflow_id);
    await scene.engine.decide(asker, { kind: 'retry', token: before.token, actor: 'ann', reason: 'perhaps' });
    for (let tries = 0; tries < 200; tries++) {
      const now = (await scene.parks()).find(({ until }) => until === 'decision');
      if (now && now.token !== before.token) break;
      await sleep(50);
    }
    await scene.parked(1, 'decision');
    await scene.parked(5);
  });

  it('lets the others go by itself once another credential is there, long before the cooldown is over, and tries each once', async () => {
    let key = 'key-1';
    const scene = await held(() => key, 15 * 60_000);
    scene.api.answer(({ token }) => (token === 'key-3' ? 200 : 401));
    const handles = await scene.runs(6, 'renewed-');
    await scene.parked(5);
    await scene.parked(1, 'decision');
    const calls = scene.api.seen.length;
    key = 'key-2';
    // It is refused as well, and whoever tried it asks; nobody tries it again.
    await scene.parked(2, 'decision');
    await sleep(3_000);
    expect(scene.api.seen.slice(calls).map(({ token }) => token)).toEqual(['key-2']);
    key = 'key-3';
    await scene.parked(0);
    const asks = await scene.parks();
    expect(asks.length).toBe(2);
    for (const { workflow_id, token } of asks)
      await scene.engine.decide(scene.engine.client.workflow.getHandle(workflow_id), {
        kind: 'retry',
        token,
        actor: 'ann',
        reason: 'renewed',
      });
    for (const handle of handles) expect(await scene.engine.result(handle)).toMatchObject({ state: 'done' });
  });

  it('asks through another run when the one that asked was aborted', async () => {
    const scene = await held(() => 'key-1');
    scene.api.answer(401);
    await scene.runs(4, 'aborted-');
    await scene.parked(3);
    await scene.parked(1, 'decision');
    const asks = (await scene.parks()).find(({ until }) => until === 'decision')!;
    const asker = scene.engine.client.workflow.getHandle(asks.workflow_id);
    await scene.engine.decide(asker, { kind: 'abort', actor: 'ann', reason: 'not needed' });
    await scene.parked(2);
    await scene.parked(1, 'decision');
  });
});
