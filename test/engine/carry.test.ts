// What is promised here: a run parked for days keeps a short history, and goes on with whatever code is deployed when it wakes.
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve } from '../../src/engine/worker.ts';
import { type Engine, openEngine, outcomes } from '../support/engine.ts';
import { fan, line } from './pipelines.ts';
import { line as lineV2 } from './pipelines-v2.ts';

let engine: Engine;
let version = 1;
beforeAll(async () => {
  engine = await openEngine((stage) => {
    const scripted = { first: stage('first'), second: stage('second'), third: stage('third') };
    return version === 1
      ? [serve(line, scripted), serve(fan, { list: stage('list'), each: stage('each') })]
      : [serve(lineV2, { ...scripted, repair: stage('repair') })];
  });
});
afterAll(() => engine?.close());

const runIdOf = async (workflowId: string): Promise<string> =>
  (await engine.client.workflow.getHandle(workflowId).describe()).runId;

async function carried(workflowId: string, before: string): Promise<string> {
  for (let tries = 0; tries < 200; tries++) {
    const now = await runIdOf(workflowId);
    if (now !== before) return now;
    await sleep(50);
  }
  throw new Error('The run did not continue as new within 10 s.');
}

describe('a parked run', () => {
  it('continues as new, and woken on version 2 with a stage inserted it ends right', async () => {
    version = 1;
    const old = await engine.startWorker();
    engine.script('first', outcomes('from v1'));
    engine.script('second', outcomes('http_401', 'loaded'));
    const handle = await engine.start('line', { dataDate: '2026-04-01', carryAfterMs: 200 });
    const { token } = await engine.parked('second');
    await carried(handle.workflowId, (handle as WorkflowHandleWithFirstExecutionRunId).firstExecutionRunId);
    await old.stop();
    version = 2;
    const next = await engine.startWorker('./test/engine/pipelines-v2.ts');
    engine.script('repair', (_call, input) => `${String(input)}, repaired`);
    engine.script('third', (_call, input) => `${String(input)}, third`);
    const latest = engine.client.workflow.getHandle(handle.workflowId);
    // The token of before the continue-as-new is the token of now: it names the park, not the execution.
    expect(await engine.decide(latest, { kind: 'retry', token, actor: 'ann', reason: 'new code' })).toMatchObject({
      taken: true,
    });
    expect(await engine.result(latest)).toMatchObject({ state: 'done', result: 'loaded, third', decisions: 1 });
    expect(engine.calls.filter((call) => call === 'first')).toHaveLength(1);
    expect(engine.calls).toEqual(['first', 'second', 'repair', 'second', 'third']);
    await next.stop();
  });

  it('with two parks waits for each by itself, and its history stays short however often it looks', async () => {
    version = 1;
    const worker = await engine.startWorker();
    engine.script('list', outcomes(['a', 'b', 'c']));
    const tried = new Set<unknown>();
    engine.script('each', (_call, input) =>
      input === 'c' || tried.has(input) ? `${String(input)} ok` : (tried.add(input), outcomes('http_400')(1, null)),
    );
    const handle = await engine.start('fan', { dataDate: '2026-04-02', carryAfterMs: 200 });
    await engine.parked('each[a]', 'fan/2026-04-02');
    await engine.parked('each[b]', 'fan/2026-04-02');
    await carried(handle.workflowId, (handle as WorkflowHandleWithFirstExecutionRunId).firstExecutionRunId);
    const latest = engine.client.workflow.getHandle(handle.workflowId);
    expect((await latest.fetchHistory()).events!.length).toBeLessThan(30);
    const details = await latest
      .query('__temporal_workflow_metadata')
      .then((meta) => (meta as { currentDetails?: string }).currentDetails ?? '');
    expect(details).toContain("mendflow retry fan/2026-04-02 'each[a]' --token");
    expect(details).toContain('Owner: tests');
    await expect(engine.decide(latest, { kind: 'retry' })).rejects.toMatchObject({
      cause: { message: expect.stringContaining('Several stages are parked') as string },
    });
    await engine.decide(latest, { kind: 'retry', stage: 'each[b]', actor: 'ann' });
    await sleep(300);
    await engine.decide(latest, { kind: 'skip', stage: 'each[a]', actor: 'ann' });
    expect((await engine.result(latest)).result).toEqual(['skipped', 'b ok', 'c ok']);
    expect(engine.calls.filter((call) => call === 'list')).toHaveLength(1);
    await worker.stop();
  });

  it('keeps a signal that arrives while it continues as new', async () => {
    version = 1;
    const worker = await engine.startWorker();
    for (let round = 0; round < 5; round++) {
      engine.script('first', outcomes('fine'));
      engine.script('third', outcomes('fine'));
      let failed = false;
      engine.script('second', () => (failed ? 'fine' : ((failed = true), outcomes('http_401')(1, null))));
      const handle = await engine.start('line', { dataDate: `2026-05-0${round + 1}`, carryAfterMs: 150 });
      await engine.parked('second', `line/2026-05-0${round + 1}`);
      await sleep(100 + round * 25);
      const latest = engine.client.workflow.getHandle(handle.workflowId);
      await latest.signal('resume', { actor: 'ann', reason: 'now' });
      expect(await engine.result(latest)).toMatchObject({ state: 'done', decisions: 1 });
    }
    await worker.stop();
  });
});
