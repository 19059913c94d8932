// What is promised here: whatever a body asks for, one workflow task stays small, one history short, and what cannot travel is a question with a way out.
import proto, { type temporal } from '@temporalio/proto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve } from '../../src/engine/worker.ts';
import { type Engine, openEngine } from '../support/engine.ts';
import { deep, heavy, odd, wide, wordy } from './pipelines-many.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((stage) =>
    [wide, deep, heavy, wordy, odd].map((one) => serve(one, { list: stage('list'), each: stage('each') })),
  );
  await engine.startWorker('./test/engine/pipelines-many.ts');
});
afterAll(() => engine?.close());

/** Temporal asks again where something arrived in the meantime, or where a worker did not take the task; neither is a fault of the task. */
const isFailed = (event: temporal.api.history.v1.IHistoryEvent): boolean => {
  const failed = event.workflowTaskFailedEventAttributes;
  const late = event.workflowTaskTimedOutEventAttributes;
  return (
    (failed !== null && failed !== undefined && failed.cause !== UNHANDLED_COMMAND) ||
    late?.timeoutType === START_TO_CLOSE
  );
};
const UNHANDLED_COMMAND =
  proto.temporal.api.enums.v1.WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND;
const START_TO_CLOSE = proto.temporal.api.enums.v1.TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE;

/** Of each execution of a run: events, the most stages that one task began, failed tasks. */
async function executions(workflowId: string): Promise<{ events: number; begunAtOnce: number; failed: number }[]> {
  const found: { events: number; begunAtOnce: number; failed: number }[] = [];
  for await (const { runId } of engine.client.workflow.list({ query: `WorkflowId = '${workflowId}'` })) {
    const { events } = await engine.client.workflow.getHandle(workflowId, runId).fetchHistory();
    const begun = new Map<string, number>();
    for (const { activityTaskScheduledEventAttributes: one } of events!) {
      const task = String(one?.workflowTaskCompletedEventId);
      if (one) begun.set(task, (begun.get(task) ?? 0) + 1);
    }
    found.push({
      events: events!.length,
      begunAtOnce: Math.max(0, ...begun.values()),
      failed: events!.filter(isFailed).length,
    });
  }
  return found;
}

describe('a run of many stages', () => {
  it.each(['wide', 'deep'])(
    'called %s ends in executions of less than a thousand events, a few stages with each task',
    async (name) => {
      const items = name === 'wide' ? 320 : 150;
      engine.script('list', () => Array.from({ length: items }, (_, at) => at));
      engine.script('each', (_call, input) => input);
      const handle = await engine.start(name);
      const summary = (await handle.result()) as { result: unknown; stages: unknown[]; stagesMore?: number };
      expect(summary.result).toEqual({ ended: items });
      expect(engine.calls.filter((call) => call === 'each').length).toBeGreaterThanOrEqual(items);
      expect(summary.stages.length + (summary.stagesMore ?? 0)).toBe(items + 1);
      expect(summary.stages.length).toBeLessThanOrEqual(210);
      const all = await executions(handle.workflowId);
      expect(all.length).toBeGreaterThan(1);
      for (const one of all) {
        expect(one.events).toBeLessThan(1_000);
        expect(one.begunAtOnce).toBeLessThanOrEqual(7);
        expect(one.failed).toBe(0);
      }
      const rows = await engine.rows<{ n: number }>(
        `select count(*)::int as n from mendflow.stage_run where run_key = $1 and state = 'done' and stage like 'each%'`,
        [`${name}/2026-11-21`],
      );
      expect(rows[0]!.n).toBe(items);
    },
    180_000,
  );
});

describe('what is too large to travel', () => {
  const noFailedTask = async (workflowId: string): Promise<void> => {
    for (const one of await executions(workflowId)) expect(one.failed).toBe(0);
  };

  it('is, as an argument, a question of the stage that was given it; it says how much and what to do', async () => {
    engine.script('list', () => [1_000, 3_000_000]);
    engine.script('each', () => 'fine');
    const before = engine.calls.length;
    const handle = await engine.start('heavy', { dataDate: '2026-01-01' });
    const { token, code } = await engine.parked('each[1]', 'heavy/2026-01-01');
    expect(code).toBe('payload_too_large');
    const [row] = await engine.rows<{ text: string }>('select text from mendflow.parked_run where token = $1', [token]);
    expect(row!.text).toMatch(/each\[1\] was given 3\.0 MB.*was not called.*reference/);
    // The answer has an effect: skipped, the run goes on without it.
    await engine.decide(engine.client.workflow.getHandle(handle.workflowId), { kind: 'skip', token });
    expect(await engine.result(handle)).toMatchObject({ state: 'done', result: { ended: 2 } });
    expect(engine.calls.slice(before)).toEqual(['list', 'each']);
    await noFailedTask(handle.workflowId);
  });

  it('is not the sum of arguments that are each small enough', async () => {
    engine.script('list', () => Array.from({ length: 8 }, () => 1_200_000));
    engine.script('each', () => 'fine');
    const handle = await engine.start('heavy', { dataDate: '2026-01-02' });
    expect(await engine.result(handle)).toMatchObject({ state: 'done', result: { ended: 8 } });
    await noFailedTask(handle.workflowId);
  });

  it('is, as an output, a question, also where only all of them together are too large', async () => {
    engine.script('list', () => [1, 2, 3]);
    engine.script('each', (_call, input) => 'x'.repeat(input === 3 ? 3_000_000 : 700_000));
    const before = engine.calls.length;
    const handle = await engine.start('wide', { dataDate: '2026-01-03' });
    expect(await engine.parked('each[2]', 'wide/2026-01-03')).toMatchObject({ code: 'payload_too_large' });
    // Which of the two came second is a matter of chance.
    await expect
      .poll(
        () =>
          engine.rows<{ text: string }>(
            `select text from mendflow.parked_run where run_key = 'wide/2026-01-03' and stage <> 'each[2]'`,
          ),
        { timeout: 20_000 },
      )
      .toEqual([
        { text: expect.stringMatching(/returned 0\.7 MB.*together at most 1\.3 MB are kept.*reference/) as string },
      ]);
    // None was called again and again, with its whole effect each time.
    expect(engine.calls.slice(before)).toEqual(['list', 'each', 'each', 'each']);
    const latest = engine.client.workflow.getHandle(handle.workflowId);
    await latest.executeUpdate('decide', { args: [{ kind: 'abort', actor: 'ann', reason: 'too large' }] });
    await expect(handle.result()).rejects.toMatchObject({
      cause: { message: expect.stringContaining('Aborted by ann') as string },
    });
    await noFailedTask(handle.workflowId);
  });

  it('is, as a result, left out and said: the run is done', async () => {
    engine.script('list', () => [3_000_000]);
    const summary = await engine.result(await engine.start('wordy'));
    expect(summary).toMatchObject({ state: 'done', resultLeftOut: expect.stringContaining('3.0 MB') as string });
    expect(summary).not.toHaveProperty('result');
  });

  it('and what is no JSON is a question, too', async () => {
    await engine.start('odd');
    expect(await engine.parked('each', 'odd/2026-11-21')).toMatchObject({ code: 'code_bug', attempts: 1 });
  });
});
