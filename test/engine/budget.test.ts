// What is promised here: a budget is spent by failures alone, told with their causes, and a deadline is a point in time.
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle, WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve } from '../../src/engine/worker.ts';
import { type Engine, openEngine, outcomes, throwCode } from '../support/engine.ts';
import { crowd, due, hang } from './pipelines-rules.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((stage) => [
    serve(crowd, { list: stage('list'), each: stage('each') }),
    serve(hang, { first: stage('first') }),
    serve(due, { first: stage('first') }),
  ]);
  await engine.startWorker('./test/engine/pipelines-rules.ts');
});
afterAll(() => engine?.close());

let day = 0;
const nextDate = (): string => `2026-06-${String(++day).padStart(2, '0')}`;
/** Slots of one worker, as configured. */
const SLOTS = 8;

const health = async (handle: WorkflowHandle): Promise<unknown> =>
  ((await handle.describe()).searchAttributes as Record<string, unknown[]>)['PipelineHealth']?.[0];

async function untilHealth(handle: WorkflowHandle, wanted: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if ((await health(handle)) === wanted) return;
    await sleep(50);
  }
  throw new Error(`The health did not become ${wanted} within 10 s; it is ${String(await health(handle))}.`);
}

describe('a budget', () => {
  it('is whole for a stage that nobody worked on for longer than its time', async () => {
    const dataDate = nextDate();
    const neighbours = Array.from({ length: SLOTS }, (_none, n) => `slow-${n}`);
    engine.script('list', outcomes([...neighbours, 'late']));
    let late = 0;
    engine.script('each', async (_call, input) => {
      if (input !== 'late') return sleep(3_000).then(() => 'slow');
      return ++late < 3 ? throwCode('http_503') : 'late, and whole';
    });
    const handle = await engine.start('crowd', { dataDate });
    const summary = await engine.result(handle);
    expect(summary).toMatchObject({ state: 'done', decisions: 0 });
    expect((summary.result as string[]).at(-1)).toBe('late, and whole');
    expect(late).toBe(3);
    // Three seconds in the queue, with a budget of two: an attempt row is a failed attempt, and none says that time was spent.
    expect(
      await engine.rows('select attempt, code from mendflow.attempt where run_key = $1 and stage = $2 order by id', [
        `crowd/${dataDate}`,
        'each[late]',
      ]),
    ).toEqual([
      { attempt: 1, code: 'http_503' },
      { attempt: 2, code: 'http_503' },
    ]);
  });

  it('that ends in a hang is told with what failed before it', async () => {
    const dataDate = nextDate();
    engine.script('first', (call) => (call === 1 ? throwCode('http_502') : sleep(2_500)));
    const handle = await engine.start('hang', { dataDate });
    const park = await engine.parked('first', `hang/${dataDate}`);
    expect(park).toMatchObject({ code: 'attempt_timeout', until: 'time' });
    const [row] = await engine.rows<{ text: string }>('select text from mendflow.parked_run where run_key = $1', [
      `hang/${dataDate}`,
    ]);
    expect(row!.text).toContain('http_502');
    await engine.decide(handle, { kind: 'abort', actor: 'ann', reason: 'seen' });
    await expect(handle.result()).rejects.toThrow();
  });
});

describe('trouble', () => {
  it('is told to the run ever more seldom, shown as it is lately while it lasts, and gone when it passed', async () => {
    const dataDate = nextDate();
    let call = 0;
    let release = (): void => undefined;
    const seen = new Promise<void>((resolve) => (release = resolve));
    engine.script('list', outcomes(['a']));
    engine.script('each', async () => {
      if (++call <= 4) return throwCode(call === 3 ? 'http_504' : 'http_503');
      await seen;
      return 'healed';
    });
    const handle = await engine.start('crowd', { dataDate });
    await untilHealth(handle, 'retrying');
    const details = async (): Promise<string | undefined> =>
      ((await handle.query('__temporal_workflow_metadata')) as { currentDetails?: string }).currentDetails;
    await expect
      .poll(details, { timeout: 10_000 })
      .toMatch(
        /attempt 3 of 6 failed with http_504; attempt 4 from \S+Z on, and what is newer under Pending Activities/,
      );
    release();
    expect(await engine.result(handle)).toMatchObject({ state: 'done', decisions: 0 });
    const { events } = await handle.fetchHistory();
    const signals = events!.flatMap((event) => event.workflowExecutionSignaledEventAttributes?.signalName ?? []);
    expect(signals).toEqual(['trouble', 'trouble']);
    await untilHealth(handle, 'healthy');
  });
});

describe('a deadline', () => {
  it('is the same point in time after continuing as new', async () => {
    const dataDate = nextDate();
    engine.script('first', outcomes('http_500'));
    const handle = await engine.start('due', { dataDate, carryAfterMs: 200 });
    const before = (await handle.describe()).runId;
    const openedAt = (await handle.describe()).startTime.getTime();
    expect(await engine.parked('first', `due/${dataDate}`)).toMatchObject({ until: 'time' });
    const latest = engine.client.workflow.getHandle(handle.workflowId);
    let askedAt = 0;
    for (let tries = 0; tries < 200 && askedAt === 0; tries++) {
      const park = await engine.parked('first', `due/${dataDate}`).catch(() => undefined);
      if (park?.until === 'decision') askedAt = Date.now();
      await sleep(50);
    }
    expect((await latest.describe()).runId).not.toBe(before);
    expect(askedAt - openedAt).toBeGreaterThanOrEqual(2_000);
    expect(askedAt - openedAt).toBeLessThan(8_000);
    await engine.decide(latest, { kind: 'abort', actor: 'ann', reason: 'late' });
    await expect(latest.result()).rejects.toThrow();
  });

  it('does not end a wait for a decision', async () => {
    const dataDate = nextDate();
    let failing = true;
    engine.script('first', () => (failing ? throwCode('http_401') : 'late and welcome'));
    const handle = await engine.start('due', { dataDate });
    const { token } = await engine.parked('first', `due/${dataDate}`);
    await sleep(2_500);
    expect(await engine.parked('first', `due/${dataDate}`)).toMatchObject({ until: 'decision', token });
    failing = false;
    expect(await engine.decide(handle, { kind: 'retry', token, actor: 'ann', reason: 'renewed' })).toMatchObject({
      taken: true,
    });
    expect(await engine.result(handle)).toMatchObject({ state: 'done', result: 'late and welcome' });
  });
});

/** Events of each execution of the chain, when it was over. */
async function lengthsOf({ workflowId, firstExecutionRunId }: WorkflowHandleWithFirstExecutionRunId) {
  const lengths: number[] = [];
  for (let runId: string | null | undefined = firstExecutionRunId; runId;) {
    const { events } = await engine.client.workflow.getHandle(workflowId, runId).fetchHistory();
    lengths.push(events!.length);
    runId = events!.at(-1)!.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
  }
  return lengths;
}

describe('history', () => {
  it('stays at 30 events an execution at most, after the first, through a dozen rounds of the slow phase', async () => {
    const dataDate = nextDate();
    let calls = 0;
    // Each round is one attempt that spends the budget; the wait it asks for is beyond the budget, so the run parks for it.
    engine.script('list', outcomes(['a']));
    engine.script('each', () => (++calls <= 12 ? throwCode('http_503_retry_after', 1_200) : 'up again'));
    const handle = await engine.start('crowd', { dataDate, carryAfterMs: 100 });
    expect(await engine.result(handle)).toMatchObject({ state: 'done', decisions: 0 });
    expect(calls).toBe(13);
    const [first, ...rounds] = await lengthsOf(handle);
    // The first opens the run and meets the failures before the slow phase.
    expect(first).toBeLessThanOrEqual(45);
    expect(rounds.length).toBeGreaterThanOrEqual(3);
    expect(Math.max(...rounds)).toBeLessThanOrEqual(30);
  });

  it('of runs at once is not mixed up: each has its own keys, parks and results', async () => {
    const dates = [nextDate(), nextDate(), nextDate(), nextDate()];
    engine.script('list', (call) => [`x${call}`, `y${call}`]);
    const failed = new Set<unknown>();
    engine.script('each', (_call, input) =>
      failed.has(input) ? `${String(input)} ok` : (failed.add(input), throwCode('http_503')),
    );
    const handles = await Promise.all(dates.map((dataDate) => engine.start('crowd', { dataDate })));
    const results = await Promise.all(handles.map((handle) => engine.result(handle)));
    const all = results.flatMap(({ result }) => result as string[]);
    expect(new Set(all).size).toBe(8);
    for (const { result, stages } of results) {
      const [x, y] = (result as string[]).map((text) => text.split(' ')[0]!);
      expect(y).toBe(x!.replace('x', 'y'));
      expect(stages.map(({ stage }) => stage).sort()).toEqual([`each[${x}]`, `each[${y}]`, 'list']);
    }
  });
});
