// What is promised here: a control store that goes away while runs park, or while they wait, loses none of them.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Gate, gateTo } from '../support/gate.ts';
import { openOutage, type Outage } from '../support/outage.ts';

let at: Outage | undefined;
let gate: Gate | undefined;
afterEach(async () => {
  gate?.set('open');
  await at?.close();
  await gate?.close();
  at = gate = undefined;
});

describe.each(['refuses', 'swallows'] as const)('a control store that %s', (how) => {
  it('while runs park, keeps none from parking, and all go on when both are back', async () => {
    at = await openOutage({
      pace: { storeAwayMs: 1_000 },
      through: async (url) => {
        gate = await gateTo(url);
        return gate.url;
      },
    });
    const scene = at;
    await scene.startWorker();
    scene.api.answer(() => {
      // The first answer of the upstream is the last that the store hears of.
      gate!.set(how);
      return 503;
    });
    const handles = await scene.runs(6, 'away-');
    const waits = async (handle: { query(name: string): Promise<unknown> }): Promise<boolean> => {
      const { currentDetails = '' } = (await handle.query('__temporal_workflow_metadata')) as {
        currentDetails?: string;
      };
      return currentDetails.includes('Waits for http:api') || currentDetails.includes('mendflow:open` 1 attempt');
    };
    // Half of them if it goes quickly; each statement that is swallowed takes its time limit, and others still open their run.
    let waited = 0;
    for (let tries = 0; tries < 150 && waited < 3; tries++) {
      waited = Math.max(waited, (await Promise.all(handles.map(waits))).filter(Boolean).length);
      await sleep(100);
    }
    expect(waited).toBeGreaterThanOrEqual(1);
    scene.api.answer(200);
    gate!.set('open');
    const ended = await Promise.all(
      handles.map((handle) => handle.result() as Promise<{ state: string; decisions: number }>),
    );
    expect(ended.map(({ state, decisions }) => `${state} ${decisions}`)).toEqual(handles.map(() => 'done 0'));
    for (let tries = 0; tries < 100 && (await scene.parks()).length > 0; tries++) await sleep(100);
    expect(await scene.parks()).toEqual([]);
  });

  it('while runs wait, loses none of them', async () => {
    at = await openOutage({
      pace: { storeAwayMs: 1_000, recheckMs: 1_500 },
      through: async (url) => {
        gate = await gateTo(url);
        return gate.url;
      },
    });
    const scene = at;
    await scene.startWorker();
    scene.api.answer(503);
    const handles = await scene.runs(6, 'waiting-');
    await scene.parked(6);
    gate!.set(how);
    await sleep(4_000);
    scene.api.answer(200);
    gate!.set('open');
    const ended = await Promise.all(
      handles.map((handle) => handle.result() as Promise<{ state: string; decisions: number }>),
    );
    expect(ended.map(({ state, decisions }) => `${state} ${decisions}`)).toEqual(handles.map(() => 'done 0'));
  });
});
