// What is promised here: a run that is parked in a stage which the next deployment renames or removes goes on; no question stays whose answer changes nothing.
import type { WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve } from '../../src/engine/worker.ts';
import type { RunSummary } from '../../src/model/messages.ts';
import { type Engine, openEngine, outcomes } from '../support/engine.ts';
import { line } from './pipelines.ts';
import { line as lineV3 } from './pipelines-v3.ts';

let engine: Engine;
let version = 1;
beforeAll(async () => {
  engine = await openEngine(
    (stage) => {
      const first = stage('first');
      return version === 1
        ? [serve(line, { first, second: stage('second'), third: stage('third') })]
        : [serve(lineV3, { first, other: stage('other') })];
    },
    { pace: { sweepMs: 500 } },
  );
});
afterAll(() => engine?.close());

describe('a run parked in a stage that is gone', () => {
  it.each([
    ['second', 'is renamed', 'other ok'],
    ['third', 'is removed', 'other ok'],
  ])(
    '%s that %s goes on with the code of today, finished stages stay finished',
    async (stage, how, result) => {
      version = 1;
      const old = await engine.startWorker();
      const dataDate = how === 'is renamed' ? '2026-06-01' : '2026-06-02';
      engine.script('first', outcomes('from v1'));
      engine.script('second', outcomes('second ok'));
      engine.script(stage, outcomes('http_401'));
      const handle = await engine.start('line', { dataDate });
      await engine.parked(stage, `line/${dataDate}`);
      // A moment after it asks, it continues as new; until then its history holds the calls of the old code.
      const { firstExecutionRunId } = handle as WorkflowHandleWithFirstExecutionRunId;
      const latest = engine.client.workflow.getHandle(handle.workflowId);
      await expect.poll(async () => (await latest.describe()).runId, { timeout: 20_000 }).not.toBe(firstExecutionRunId);
      await old.stop();
      version = 3;
      const calls = engine.calls.length;
      const next = await engine.startWorker('./test/engine/pipelines-v3.ts');
      const summary = (await handle.result()) as RunSummary;
      expect(summary).toMatchObject({ state: 'done', result });
      expect(summary.stages.map((one) => one.state)).not.toContain('asking');
      expect(engine.calls.slice(calls)).toEqual(['other']);
      expect(await engine.rows('select 1 from mendflow.parked_run where run_key = $1', [`line/${dataDate}`])).toEqual(
        [],
      );
      expect(
        await engine.rows(`select 1 from mendflow.stage_run where run_key = $1 and state in ('asking', 'parked')`, [
          `line/${dataDate}`,
        ]),
      ).toEqual([]);
      await next.stop();
    },
    120_000,
  );
});
