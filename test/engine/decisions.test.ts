// What is promised here: operator intent is exact. A decision is applied once, or refused with a reason; who, why and when are kept.
import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowUpdateFailedError, type WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve, stage as stageHere } from '../../src/engine/worker.ts';
import type { Decision } from '../../src/model/messages.ts';
import { type Engine, openEngine, outcomes } from '../support/engine.ts';
import { line, twice } from './pipelines.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((stage) => [
    serve(line, { first: stage('first'), second: stage('second'), third: stage('third') }),
    serve(twice, { first: stage('first'), second: stage('second'), third: stage('third') }),
  ]);
  await engine.startWorker();
});
afterAll(() => engine?.close());

let day = 0;
async function parkedLine(
  stage: 'first' | 'second' = 'first',
  code = 'http_401',
  moves = false,
): Promise<{ handle: WorkflowHandle; token: string; run: string }> {
  const dataDate = `2026-02-${String(++day).padStart(2, '0')}`;
  const failing = { on: true };
  for (const name of ['first', 'second', 'third']) engine.script(name, outcomes('fine'));
  engine.script(stage, () => {
    // As every stage that moves records does.
    if (moves) void stageHere().acceptLoss;
    return failing.on ? ((failing.on = false), outcomes(code)(1, null)) : 'fine';
  });
  const handle = await engine.start('line', { dataDate });
  const run = `line/${dataDate}`;
  const { token } = await engine.parked(stage, run);
  return { handle, token, run };
}
const refusal = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => new Error('was not refused'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(WorkflowUpdateFailedError);
  return ((error as Error).cause as Error).message;
};

describe('a decision', () => {
  it('has one winner when ten arrive at once, and tells the others who won', async () => {
    const { handle, token, run } = await parkedLine();
    const all = await Promise.allSettled(
      Array.from({ length: 8 }, (_none, n) =>
        engine.decide(handle, {
          kind: n % 2 ? 'retry' : 'extend-budget',
          attempts: 2,
          token,
          actor: `person-${n}`,
          stage: 'first',
        }),
      ),
    );
    expect(all.filter((one) => one.status === 'fulfilled' && one.value.taken)).toHaveLength(1);
    expect(await engine.result(handle)).toMatchObject({ state: 'done', decisions: 1 });
    const taken = await engine.rows<{ actor: string }>(
      'select actor from mendflow.decision where run_key = $1 and taken',
      [run],
    );
    expect(taken).toHaveLength(1);
    const texts = all.flatMap((one) =>
      // Who comes when the run has closed is told so by Temporal itself, and by no cause.
      one.status === 'rejected' ? [(((one.reason as Error).cause ?? one.reason) as Error).message] : [],
    );
    for (const text of texts)
      expect(text).toMatch(
        new RegExp(
          `decided already: (retry|extend-budget) by ${taken[0]!.actor}|under way|finished already|closing|workflow execution already completed`,
        ),
      );
  });

  it('is answered as the first time when the same person repeats it', async () => {
    const { handle, token } = await parkedLine('second');
    engine.script('second', () => sleep(400).then(() => 'fine'));
    const first = await engine.decide(handle, { kind: 'retry', token, actor: 'ann' });
    const again = await engine.decide(handle, { kind: 'retry', token, actor: 'ann' });
    expect(again).toMatchObject({ taken: true, text: first.text });
    expect(await engine.result(handle)).toMatchObject({ decisions: 1 });
  });

  it('is refused with a reason: wrong stage, wrong token, not skippable, no budget to add, nothing parked', async () => {
    const { handle, token } = await parkedLine('first');
    expect(await refusal(engine.decide(handle, { kind: 'retry', stage: 'nowhere' }))).toMatch(/No stage "nowhere"/);
    expect(await refusal(engine.decide(handle, { kind: 'retry', token: 'old-1' }))).toMatch(/earlier question/);
    expect(await refusal(engine.decide(handle, { kind: 'skip', token }))).toMatch(/declares no onSkip/);
    expect(await refusal(engine.decide(handle, { kind: 'accept-loss', token }))).toMatch(/moves no records/);
    expect(await refusal(engine.decide(handle, { kind: 'extend-budget', token }))).toMatch(/needs attempts or time/);
    expect(await refusal(engine.decide(handle, {} as Decision))).toMatch(/needs a kind/);
    await engine.decide(handle, { kind: 'retry', token });
    await engine.result(handle);
  });

  it.each(['code_bug', 'pg_statement', 'pg_schema', 'config_invalid', 'secret_missing'])(
    'gives up no good records for %s: that is mended, and more tries change nothing',
    async (code) => {
      const { handle, token, run } = await parkedLine('second', code, true);
      expect(
        await engine.rows('select accepts_loss as may from mendflow.parked_run where run_key = $1', [run]),
      ).toEqual([{ may: false }]);
      const { currentDetails } = (await handle.query('__temporal_workflow_metadata')) as { currentDetails: string };
      expect(currentDetails).toContain('mendflow retry');
      expect(currentDetails).not.toMatch(/mendflow (accept-loss|extend-budget)/);
      expect(await refusal(engine.decide(handle, { kind: 'accept-loss', token }))).toMatch(
        RegExp(
          `failed with ${code}: code or settings are wrong, not the records, .* good ones\\. Mend that, then retry`,
        ),
      );
      await engine.decide(handle, { kind: 'retry', token });
      expect(await engine.result(handle)).toMatchObject({ state: 'done' });
    },
  );

  it.each(['source_rewritten', 'http_400', 'quarantine_limit'])('may accept a loss for %s', async (code) => {
    const { handle, token } = await parkedLine('second', code, true);
    const { currentDetails } = (await handle.query('__temporal_workflow_metadata')) as { currentDetails: string };
    expect(currentDetails).toContain('mendflow accept-loss');
    expect(currentDetails.includes('mendflow extend-budget')).toBe(code === 'http_400');
    expect(await engine.decide(handle, { kind: 'accept-loss', token })).toMatchObject({ taken: true });
    await engine.result(handle);
  });

  it('by signal never throws: 50 garbage payloads are refused, and the run goes on', async () => {
    const { handle } = await parkedLine('second');
    const garbage = [
      null,
      42,
      [],
      'text',
      { kind: 'nonsense' },
      { stage: 7 },
      { kind: 'retry', stage: {} },
      { kind: 'retry', token: 'x'.repeat(600) },
      { kind: 'skip', stage: 'first' },
      { attempts: 'many', kind: 'extend-budget' },
    ];
    for (let n = 0; n < 50; n++)
      await handle.signal(
        ['decide', 'skip', 'resume', 'trouble'][n % 4]!,
        n % 4 === 1 ? { stage: 'first' } : n % 4 === 2 ? { token: `no-${n}` } : garbage[n % garbage.length],
      );
    await expect
      .poll(() => engine.rows('select 1 from mendflow.decision where taken is false'), { timeout: 20_000 })
      .not.toHaveLength(0);
    // As somebody presses the button in the Web UI: without any input.
    await handle.signal('skip');
    const summary = await engine.result(handle);
    expect(summary).toMatchObject({ state: 'done', decisions: 1 });
    expect(summary.stages.find((one) => one.stage === 'second')).toMatchObject({ state: 'skipped' });
    expect(
      await engine.rows(
        "select actor, reason from mendflow.decision where taken and kind = 'skip' order by id desc limit 1",
      ),
    ).toEqual([{ actor: 'unknown', reason: 'no reason given' }]);
    const history = await handle.fetchHistory();
    expect(history.events!.filter((event) => event.workflowTaskFailedEventAttributes)).toHaveLength(0);
  });

  it('retry without a stage is refused if two ask, and extends the budget of one that still tries', async () => {
    const dataDate = '2026-03-01';
    let calls = 0;
    engine.script('first', () => {
      calls++;
      return calls <= 4 ? outcomes('http_500')(1, null) : 'fine';
    });
    engine.script('second', outcomes('fine'));
    const handle = await engine.start('line', { dataDate });
    for (let tries = 0; tries < 100; tries++) {
      if (calls >= 2) break;
      await sleep(10);
    }
    const said = await engine
      .decide(handle, { kind: 'extend-budget', stage: 'first', attempts: 5, actor: 'ann' })
      .catch((error: unknown) => error);
    const summary = await engine.result(handle);
    expect(summary.state).toBe('done');
    expect(calls).toBe(5);
    expect(said).toMatchObject({ taken: true });
  });

  it('abort stops what is under way, keeps what is committed, and names who', async () => {
    const { handle, run } = await parkedLine('second');
    expect(await engine.decide(handle, { kind: 'abort', actor: 'ann', reason: 'wrong file' })).toMatchObject({
      taken: true,
    });
    await expect(handle.result()).rejects.toMatchObject({
      cause: { type: 'aborted', message: 'Aborted by ann: wrong file', details: [{ state: 'aborted' }] },
    });
    expect(await engine.rows('select state from mendflow.run where key = $1', [run])).toEqual([{ state: 'aborted' }]);
    expect(await engine.rows('select 1 from mendflow.parked_run where run_key = $1', [run])).toEqual([]);
  });

  it('Request cancellation of the Web UI is an abort by unknown', async () => {
    const { handle, run } = await parkedLine('second');
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    expect(await engine.rows('select state from mendflow.run where key = $1', [run])).toEqual([{ state: 'aborted' }]);
  });

  it('an aborted run may be started again, as a new generation', async () => {
    const { handle, run } = await parkedLine('second');
    await engine.decide(handle, { kind: 'abort', actor: 'ann', reason: 'again' });
    await expect(handle.result()).rejects.toThrow();
    const again = await engine.start('line', { dataDate: run.split('/')[1]! });
    expect(await engine.result(again)).toMatchObject({ state: 'done', generation: 2 });
    const done = await engine.start('line', { dataDate: run.split('/')[1]! });
    expect(await engine.result(done)).toMatchObject({ state: 'already-done', generation: 2 });
    const forced = await engine.start('line', { dataDate: run.split('/')[1]!, force: true });
    expect(await engine.result(forced)).toMatchObject({ state: 'done', generation: 3 });
  });
});
