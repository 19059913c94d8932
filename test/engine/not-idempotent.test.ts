// What is promised here: a stage that is not idempotent is repeated only where nothing can have happened yet; in doubt a person is asked first.
import { setTimeout as sleep } from 'node:timers/promises';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createWorkers, serve, stage } from '../../src/engine/worker.ts';
import { codes, type Code } from '../../src/model/failure.ts';
import { type Engine, openEngine, outcomes } from '../support/engine.ts';
import { invoice, payment } from './pipelines-rules.ts';
import { bundleOnce } from '../support/bundle.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine((scripted) => [
    serve(payment, { first: scripted('first') }),
    serve(invoice, { second: scripted('second') }),
  ]);
});
afterAll(() => engine?.close());

let day = 0;
const nextDate = (): string => `2026-02-${String(++day).padStart(2, '0')}`;

/** Asks, having called once; says what ended the wait. */
async function asksAfterOneCall(dataDate: string, code: string, calls: () => number): Promise<void> {
  const run = `payment/${dataDate}`;
  const park = await engine.parked('first', run);
  expect(park).toMatchObject({ until: 'decision', code, wake_at: null });
  // Longer than any wait between attempts of this policy.
  await sleep(500);
  expect(calls()).toBe(1);
  engine.script('first', outcomes('paid'));
  const handle = engine.client.workflow.getHandle(`${engine.prefix}/${run}`);
  await engine.decide(handle, { kind: 'retry', stage: 'first', token: park.token, actor: 'ann', reason: 'not paid' });
}

describe('a stage that is not idempotent', () => {
  let worker: { stop(): Promise<void> };
  beforeAll(async () => {
    worker = await engine.startWorker('./test/engine/pipelines-rules.ts');
  });
  afterAll(() => worker.stop());

  it.each<Code>(['net_reset', 'http_503', 'answer_cut'])('asks after %s: the payment may be out', async (code) => {
    expect(codes[code].commit).toBe('unknown');
    const dataDate = nextDate();
    let calls = 0;
    engine.script('first', (call, input) => {
      calls++;
      return outcomes(code)(call, input);
    });
    const handle = await engine.start('payment', { dataDate });
    await asksAfterOneCall(dataDate, code, () => calls);
    expect(await engine.result(handle)).toMatchObject({ state: 'done', result: 'paid' });
  });

  it.each<Code>(['net_refused', 'dns_again', 'pg_conflict'])(
    'is repeated after %s: nothing can have happened',
    async (code) => {
      expect(codes[code].commit).not.toBe('unknown');
      let calls = 0;
      engine.script('first', () => (++calls === 1 ? outcomes(code)(1, null) : 'paid'));
      const handle = await engine.start('payment', { dataDate: nextDate() });
      expect(await engine.result(handle)).toMatchObject({ state: 'done', result: 'paid', decisions: 0 });
      expect(calls).toBe(2);
    },
  );

  it('asks after an attempt whose output nobody could write down, which the SDK would repeat by itself', async () => {
    const dataDate = nextDate();
    let calls = 0;
    engine.script('first', () => {
      calls++;
      return { cents: 10n };
    });
    const handle = await engine.start('payment', { dataDate });
    await asksAfterOneCall(dataDate, 'worker_lost', () => calls);
    expect(await engine.result(handle)).toMatchObject({ state: 'done', result: 'paid' });
  });

  it('is not called by a decision to skip it', async () => {
    const dataDate = nextDate();
    let calls = 0;
    engine.script('second', () => {
      calls++;
      return outcomes('net_reset')(1, null);
    });
    const handle = await engine.start('invoice', { dataDate });
    const { token } = await engine.parked('second', `invoice/${dataDate}`);
    await engine.decide(handle, { kind: 'skip', stage: 'second', token, actor: 'ann', reason: 'it went out' });
    expect(await engine.result(handle)).toMatchObject({ state: 'done', result: 'sent by hand' });
    expect(calls).toBe(1);
  });

  it('asks after an attempt that took too long, which Temporal would repeat by itself', async () => {
    const dataDate = nextDate();
    let calls = 0;
    engine.script('first', async () => {
      calls++;
      await sleep(3_000);
    });
    const handle = await engine.start('payment', { dataDate });
    await asksAfterOneCall(dataDate, 'attempt_timeout', () => calls);
    expect(await engine.result(handle)).toMatchObject({ state: 'done', result: 'paid' });
  });
});

it('asks when a deployment ends the worker in mid-call, and another worker does not repeat it', async () => {
  const dataDate = nextDate();
  let calls = 0;
  let began = (): void => undefined;
  const begun = new Promise<void>((resolve) => (began = resolve));
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const bundle = await bundleOnce(new URL('./pipelines-rules.ts', import.meta.url));
  const deployed = await createWorkers({
    connection,
    namespace: 'default',
    prefix: engine.prefix,
    served: [
      serve(payment, {
        first: async () => {
          calls++;
          began();
          await sleep(30_000, undefined, { signal: stage().signal });
          return 'never';
        },
      }),
    ],
    workflows: bundle,
    control: engine.pool,
    shutdownGrace: '100 milliseconds',
  });
  const running = deployed.run();
  const handle = await engine.start('payment', { dataDate });
  await begun;
  deployed.shutdown();
  await running;
  await connection.close();
  engine.script('first', () => {
    calls++;
    return 'paid twice';
  });
  const next = await engine.startWorker('./test/engine/pipelines-rules.ts');
  await asksAfterOneCall(dataDate, 'worker_lost', () => calls);
  expect(await engine.result(handle)).toMatchObject({ state: 'done', result: 'paid' });
  await next.stop();
});
