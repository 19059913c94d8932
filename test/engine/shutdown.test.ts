// What is promised here: deployments and cancellations cost no attempt, and nothing a driver says gets into history.
import { setTimeout as sleep } from 'node:timers/promises';
import proto from '@temporalio/proto';
import type { WorkflowHandle } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createWorkers, serve, stage } from '../../src/engine/worker.ts';
import { type Engine, openEngine } from '../support/engine.ts';
import { once } from './pipelines-rules.ts';
import { bundleOnce } from '../support/bundle.ts';

let engine: Engine;
let bundle: { code: string };
const served = (scripted: (name: string) => (input: never) => Promise<never>) => [
  serve(once, { first: scripted('first'), second: scripted('second') }),
];
beforeAll(async () => {
  engine = await openEngine(served);
  bundle = await bundleOnce(new URL('./pipelines-rules.ts', import.meta.url));
});
afterAll(() => engine?.close());

/** A worker that a deployment ends after a tenth of a second of grace; it runs the code it is given as the first stage. */
async function deploy(first: () => Promise<string>): Promise<{ end(): Promise<void> }> {
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const workers = await createWorkers({
    connection,
    namespace: 'default',
    prefix: engine.prefix,
    served: [serve(once, { first, second: (input) => Promise.resolve(`${input}, done`) })],
    workflows: bundle,
    control: engine.pool,
    shutdownGrace: '100 milliseconds',
  });
  const running = workers.run();
  return {
    end: async () => {
      workers.shutdown();
      await running;
      await connection.close();
    },
  };
}

/** Works until it is told to stop, then throws what fetch() and timers throw. */
const untilStopped = (began: () => void) => async (): Promise<string> => {
  began();
  await sleep(30_000, undefined, { signal: stage().signal });
  return 'never';
};

const signalled = (): { when: Promise<void>; tell: () => void } => {
  let tell = (): void => undefined;
  const when = new Promise<void>((resolve) => (tell = resolve));
  return { when, tell };
};

const failedAttempts = (run: string): Promise<unknown[]> =>
  engine.rows('select code from mendflow.attempt where run_key = $1', [run]);

describe('a worker that shuts down in mid-attempt', () => {
  it('costs no attempt: two deployments make no question of a stage with a single one', async () => {
    const dataDate = '2026-07-01';
    const handle = await engine.start('once', { dataDate });
    for (let deployments = 0; deployments < 2; deployments++) {
      const begun = signalled();
      const worker = await deploy(untilStopped(begun.tell));
      await begun.when;
      await worker.end();
    }
    const worker = await deploy(() => Promise.resolve(`attempt ${stage().attempt}, losses ${stage().losses}`));
    expect(await engine.result(handle)).toMatchObject({
      state: 'done',
      decisions: 0,
      // Nor does it count as a worker that died: nobody has to read carefully because of a deployment.
      result: 'attempt 1, losses 0, done',
    });
    expect(await failedAttempts(`once/${dataDate}`)).toEqual([]);
    await worker.end();
  });
});

describe('a run that is cancelled while a stage runs', () => {
  it('waits until the stage has ended, and what it throws then is no failure', async () => {
    const dataDate = '2026-07-02';
    const begun = signalled();
    let tidied = 0;
    const worker = await deploy(async () => {
      try {
        return await untilStopped(begun.tell)();
      } finally {
        await sleep(700);
        tidied = Date.now();
      }
    });
    const handle = await engine.start('once', { dataDate });
    await begun.when;
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    const description = await handle.describe();
    expect(description.status.name).toBe('CANCELLED');
    expect(tidied).toBeGreaterThan(0);
    expect(description.closeTime!.getTime()).toBeGreaterThanOrEqual(tidied);
    expect(await failedAttempts(`once/${dataDate}`)).toEqual([]);
    await worker.end();
  });

  it('keeps what the stage committed first, and the summary says that it is done', async () => {
    const dataDate = '2026-07-03';
    const begun = signalled();
    const worker = await deploy(async () => {
      begun.tell();
      await sleep(1_500);
      return 'committed';
    });
    const handle = await engine.start('once', { dataDate });
    await begun.when;
    const outcome = await engine.decide(handle, { kind: 'abort', actor: 'ann', reason: 'wrong day' });
    expect(outcome.text).toContain('committed data stays');
    const error = (await handle.result().catch((failed: unknown) => failed)) as {
      cause: { type: string; details: [{ stages: { stage: string; state: string }[] }] };
    };
    expect(error.cause.type).toBe('aborted');
    expect(error.cause.details[0].stages.find((one) => one.stage === 'first')).toMatchObject({ state: 'done' });
    await worker.end();
  });
});

const canary = 'canary-4711';
let day = 0;

type History = Awaited<ReturnType<WorkflowHandle['fetchHistory']>>;

/** Of every execution of the run: one that asks goes on as a new one, and its failure is in the history before. */
async function histories({ workflowId }: WorkflowHandle): Promise<History[]> {
  const found: History[] = [];
  for await (const { runId } of engine.client.workflow.list({ query: `WorkflowId = '${workflowId}'` }))
    found.push(await engine.client.workflow.getHandle(workflowId, runId).fetchHistory());
  return found;
}

const bytesOf = (history: History): Buffer =>
  Buffer.from(proto.temporal.api.history.v1.History.encode(history).finish());

describe('what a driver says', () => {
  it.each([
    ['an error nobody knows', () => new Error(`row (${canary}) is bad`, { cause: new Error(canary) })],
    [
      'an error of Postgres that quotes a record',
      () =>
        Object.assign(new Error(`duplicate key value (${canary})`), {
          code: '23505',
          detail: `Key (mail)=(${canary}) already exists.`,
          where: `COPY t, line 3: "${canary}"`,
        }),
    ],
    [
      'an error below an error',
      () =>
        new Error('outer', {
          cause: Object.assign(new Error(`connect ECONNREFUSED ${canary}`), { code: 'ECONNREFUSED' }),
        }),
    ],
  ])('(%s) is in no event of the history, no row and no page, and has no cause there', async (_what, make) => {
    const dataDate = `2026-08-0${++day}`;
    const worker = await deploy(() => Promise.reject(make()));
    const handle = await engine.start('once', { dataDate });
    await engine.parked('first', `once/${dataDate}`);
    const failuresOf = ({ events }: History) =>
      events!.flatMap((event) => event.activityTaskFailedEventAttributes?.failure ?? []);
    // The server lists an execution a moment after it began.
    await expect.poll(async () => (await histories(handle)).flatMap(failuresOf).length).toBeGreaterThan(0);
    const all = await histories(handle);
    const failures = all.flatMap(failuresOf);
    expect(failures.length).toBeGreaterThan(0);
    for (const failure of failures) expect(failure.cause ?? undefined).toBeUndefined();
    const bytes = Buffer.concat(all.map(bytesOf));
    expect(bytes.includes('once/first')).toBe(true);
    expect(bytes.includes(canary)).toBe(false);
    for (const table of ['attempt', 'parked_run', 'stage_run', 'run'])
      expect(JSON.stringify(await engine.rows(`select * from mendflow.${table}`))).not.toContain(canary);
    expect(JSON.stringify(await handle.query('__temporal_workflow_metadata'))).not.toContain(canary);
    await engine.decide(handle, { kind: 'abort', actor: 'ann', reason: 'seen' });
    await expect(handle.result()).rejects.toThrow();
    await worker.end();
  });
});
