// What is promised here: a stage ends well by itself where time heals, and asks exactly once where it does not.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve } from '../../src/engine/worker.ts';
import { type Engine, openEngine, outcomes } from '../support/engine.ts';
import { due, fan, line, loud, twice } from './pipelines.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((stage) => {
    const scripted = { first: stage('first'), second: stage('second'), third: stage('third') };
    return [
      serve(line, scripted),
      serve(loud, scripted),
      serve(due, scripted),
      serve(twice, scripted),
      serve(fan, { list: stage('list'), each: stage('each') }),
    ];
  });
  await engine.startWorker();
});
afterAll(() => engine?.close());

let day = 0;
const nextDate = (): string => `2026-01-${String(++day).padStart(2, '0')}`;

describe('a stage', () => {
  it('heals a transient failure by itself, and the ledger tells each attempt', async () => {
    const dataDate = nextDate();
    engine.script('first', outcomes('http_503', 'http_503', 'fine'));
    const handle = await engine.start('line', { dataDate });
    const summary = await engine.result(handle);
    expect(summary).toMatchObject({
      state: 'done',
      run: `line/${dataDate}`,
      decisions: 0,
      balanced: true,
      result: 'third ok',
    });
    const attempts = await engine.rows<{ attempt: number; code: string }>(
      'select attempt, code from mendflow.attempt where run_key = $1 order by id',
      [`line/${dataDate}`],
    );
    expect(attempts).toEqual([
      { attempt: 1, code: 'http_503' },
      { attempt: 2, code: 'http_503' },
    ]);
    expect(
      await engine.rows('select stage, state, attempts from mendflow.stage_run where run_key = $1 and stage = $2', [
        `line/${dataDate}`,
        'first',
      ]),
    ).toEqual([{ stage: 'first', state: 'done', attempts: 3 }]);
  });

  it('counts attempts and their time from the same failure, also after a decision', async () => {
    const dataDate = nextDate();
    let calls = 0;
    engine.script('first', () => (++calls <= 2 ? outcomes('http_401')(1, null) : 'fine'));
    const handle = await engine.start('line', { dataDate });
    const before = await engine.parked('first', `line/${dataDate}`);
    await sleep(1_500);
    await engine.decide(handle, { kind: 'retry', stage: 'first', token: before.token, actor: 'ann' });
    const asks = async (): Promise<{ attempts: number; ms: number } | undefined> =>
      (
        await engine.rows<{ attempts: number; ms: number }>(
          'select attempts, elapsed_ms::int as ms from mendflow.parked_run where run_key = $1 and token <> $2',
          [`line/${dataDate}`, before.token],
        )
      )[0];
    for (let tries = 0; tries < 200 && !(await asks()); tries++) await sleep(50);
    const after = (await asks())!;
    expect(after.attempts).toBe(2);
    expect(after.ms).toBeGreaterThanOrEqual(1_400);
    await engine.decide(handle, { kind: 'retry', stage: 'first', actor: 'ann' });
    expect(await engine.result(handle)).toMatchObject({ state: 'done' });
  });

  it('asks at the first permanent failure and goes on when a person says so', async () => {
    const dataDate = nextDate();
    let calls = 0;
    engine.script('second', () => (++calls === 1 ? outcomes('http_401')(1, null) : 'fine'));
    engine.script('first', outcomes('fine'));
    const handle = await engine.start('line', { dataDate });
    const park = await engine.parked('second', `line/${dataDate}`);
    expect(park).toMatchObject({ until: 'decision', code: 'http_401', attempts: 1, wake_at: null });
    const outcome = await engine.decide(handle, {
      kind: 'retry',
      stage: 'second',
      token: park.token,
      actor: 'ann',
      reason: 'token renewed',
    });
    expect(outcome).toMatchObject({ taken: true, stage: 'second' });
    expect(await engine.result(handle)).toMatchObject({ state: 'done', decisions: 1 });
    expect(calls).toBe(2);
    expect(
      await engine.rows('select kind, actor, reason, taken from mendflow.decision where run_key = $1', [
        `line/${dataDate}`,
      ]),
    ).toEqual([{ kind: 'retry', actor: 'ann', reason: 'token renewed', taken: true }]);
    expect(await engine.rows('select 1 from mendflow.parked_run where run_key = $1', [`line/${dataDate}`])).toEqual([]);
  });

  it('asks after two tries when nobody knows the failure', async () => {
    const dataDate = nextDate();
    let calls = 0;
    engine.script('first', () => {
      calls++;
      throw new (class Strange extends Error {})('what is this');
    });
    const handle = await engine.start('line', { dataDate });
    expect(await engine.parked('first', `line/${dataDate}`)).toMatchObject({
      until: 'decision',
      code: 'unknown',
      attempts: 2,
    });
    expect(calls).toBe(2);
    await engine.decide(handle, { kind: 'abort', actor: 'ann', reason: 'test' });
    await expect(handle.result()).rejects.toThrow();
  });

  it('waits in the slow phase after a spent budget, and heals there without a question', async () => {
    const dataDate = nextDate();
    let calls = 0;
    engine.script('first', () => (++calls <= 4 ? outcomes('http_500')(1, null) : 'fine'));
    engine.script('second', outcomes('fine'));
    const handle = await engine.start('line', { dataDate });
    expect(await engine.result(handle)).toMatchObject({ state: 'done', decisions: 0 });
    expect(calls).toBe(5);
  });

  it('parks for a wait that the upstream asked for beyond the budget, and is never early', async () => {
    const dataDate = nextDate();
    const at: number[] = [];
    engine.script('first', (call) => {
      at.push(Date.now());
      if (at.length > 1) return 'fine';
      return import('../support/engine.ts').then(({ throwCode }) =>
        call > 0 ? throwCode('http_503_retry_after', 21_000) : null,
      );
    });
    const handle = await engine.start('line', { dataDate });
    const park = await engine.parked('first', `line/${dataDate}`);
    expect(park).toMatchObject({ until: 'time', code: 'http_503_retry_after', attempts: 1 });
    expect(park.wake_at!.getTime()).toBeGreaterThanOrEqual(at[0]! + 21_000);
    expect(await engine.decide(handle, { kind: 'retry', actor: 'ann', reason: 'it is back' })).toMatchObject({
      taken: true,
    });
    expect(await engine.result(handle)).toMatchObject({ state: 'done', decisions: 1 });
  });

  it('fails loudly at the first spent budget where healing is off', async () => {
    const dataDate = nextDate();
    engine.script('first', outcomes('http_500'));
    const handle = await engine.start('loud', { dataDate });
    await expect(handle.result()).rejects.toMatchObject({
      cause: { type: 'http_500', details: [{ state: 'failed' }, { code: 'http_500' }] },
    });
    expect(await engine.rows('select state from mendflow.run where key = $1', [`loud/${dataDate}`])).toEqual([
      { state: 'failed' },
    ]);
  });

  it('asks at the deadline instead of waiting on', async () => {
    const dataDate = nextDate();
    engine.script('first', outcomes('http_500'));
    const handle = await engine.start('due', { dataDate });
    for (let tries = 0; tries < 200; tries++) {
      const park = await engine.parked('first', `due/${dataDate}`);
      if (park.until === 'decision') break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await engine.parked('first', `due/${dataDate}`)).toMatchObject({ until: 'decision' });
    await engine.decide(handle, { kind: 'abort', actor: 'ann', reason: 'too late' });
    await expect(handle.result()).rejects.toThrow();
  });

  it('refuses a stage that is called twice under one name', async () => {
    const dataDate = nextDate();
    engine.script('first', outcomes('fine'));
    const handle = await engine.start('twice', { dataDate });
    await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'stage_called_twice' } });
  });

  it('parks one of many files by itself while the others finish', async () => {
    const dataDate = nextDate();
    engine.script('list', outcomes(['a', 'b', 'c']));
    engine.script('each', (_call, input) => (input === 'b' ? outcomes('http_400')(1, null) : `${String(input)} fine`));
    const handle = await engine.start('fan', { dataDate });
    await engine.parked('each[b]', `fan/${dataDate}`);
    expect(await engine.decide(handle, { kind: 'skip', actor: 'ann', reason: 'not needed' })).toMatchObject({
      taken: true,
      stage: 'each[b]',
    });
    const summary = await engine.result(handle);
    expect(summary.result).toEqual(['a fine', 'skipped', 'c fine']);
    expect(summary.stages.find((stage) => stage.stage === 'each[b]')).toMatchObject({ state: 'skipped' });
  });
});
