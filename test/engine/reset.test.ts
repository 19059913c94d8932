// What is promised here: `temporal workflow reset` of a run that asks leaves a question that can be answered with the token that is shown.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { serve } from '../../src/engine/worker.ts';
import { CodedError } from '../../src/model/failure.ts';
import { type Engine, openEngine, outcomes } from '../support/engine.ts';
import { fan, line } from './pipelines.ts';

let engine: Engine;
let renewed = false;
const held: (() => void)[] = [];
const letGo = (): void => held.splice(0).forEach((release) => release());
beforeAll(async () => {
  engine = await openEngine((stage) => [
    serve(line, { first: stage('first'), second: stage('second'), third: stage('third') }),
    serve(fan, { list: stage('list'), each: stage('each') }),
  ]);
  await engine.startWorker();
});
afterAll(async () => {
  letGo();
  await engine?.close();
});

/** Goes back to behind one of its workflow tasks that are completed. */
async function reset(workflowId: string, which: number): Promise<void> {
  const { events } = await engine.client.workflow.getHandle(workflowId).fetchHistory();
  const tasks = events!.filter(({ workflowTaskCompletedEventAttributes: one }) => one);
  await engine.client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId },
    reason: 'a test',
    requestId: randomUUID(),
    workflowTaskFinishEventId: tasks.at(which)!.eventId!,
  });
}

const scenes = {
  // Alone it is carried into an execution of its own; beside a stage that works it stays in the one that asked.
  'a run that asks alone': {
    pipeline: 'line',
    stage: 'first',
    set: () => engine.script('first', () => (renewed ? 'fine' : outcomes('http_401')(1, null))),
  },
  'a run that asks while a stage works': {
    pipeline: 'fan',
    stage: 'each[a]',
    set: () => {
      engine.script('list', outcomes(['a', 'b']));
      engine.script('each', async (_call, name) => {
        if (name === 'b') await new Promise<void>((resolve) => void held.push(resolve));
        else if (!renewed) throw new CodedError('http_401', 'refused');
        return `${String(name)} fine`;
      });
    },
  },
} as const;

let day = 0;
it.each<[keyof typeof scenes, string, number]>([
  ['a run that asks alone', 'behind its question', -1],
  ['a run that asks alone', 'its beginning', 0],
  ['a run that asks while a stage works', 'behind its question', -1],
  ['a run that asks while a stage works', 'its beginning', 0],
])('%s, reset to %s', { timeout: 90_000 }, async (name, _where, which) => {
  const { pipeline, stage, set } = scenes[name];
  renewed = false;
  set();
  const dataDate = `2026-05-0${++day}`;
  const { workflowId } = await engine.start(pipeline, { dataDate });
  const run = `${pipeline}/${dataDate}`;
  const { token: before } = await engine.parked(stage, run);
  const now = engine.client.workflow.getHandle(workflowId);
  // A task of its own behind the one that asks, so that the last one does not ask anew.
  await now.signal('wake', { token: 'none' });
  await sleep(1_500);
  await reset(workflowId, which);
  const shown = async (): Promise<string> =>
    ((await now.query('__temporal_workflow_metadata')) as { currentDetails?: string }).currentDetails ?? '';
  // What people see in the Web UI and what the command line reads from the store is one token.
  await expect
    .poll(async () => (await shown()).includes((await engine.parked(stage, run)).token), { timeout: 20_000 })
    .toBe(true);
  const { token } = await engine.parked(stage, run);
  if (which < 0) expect(token).toBe(before);
  renewed = true;
  expect(await engine.decide(now, { kind: 'retry', token, actor: 'ann', reason: 'renewed' })).toMatchObject({
    taken: true,
  });
  letGo();
  expect(await engine.result(now)).toMatchObject({ state: 'done' });
});
