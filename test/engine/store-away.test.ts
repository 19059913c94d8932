// What is promised here: a control store that is away neither fails nor delays a stage; parking goes on, and the row is repaired when it is back.
import { setTimeout as sleep } from 'node:timers/promises';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createWorkers, serve } from '../../src/engine/worker.ts';
import { openPool } from '../../src/store/db.ts';
import { type Engine, openEngine, throwCode } from '../support/engine.ts';
import { type Gate, gateTo } from '../support/gate.ts';
import { line } from './pipelines.ts';
import { bundleOnce } from '../support/bundle.ts';

let engine: Engine;
let gate: Gate;
let end: () => Promise<void>;
const scripts = new Map<string, () => Promise<string>>();
const scripted = (name: string) => (): Promise<string> => scripts.get(name)?.() ?? Promise.resolve(`${name} ok`);
beforeAll(async () => {
  engine = await openEngine(() => []);
  gate = await gateTo(String(engine.pool.options.connectionString));
  const control = openPool({ url: gate.url, applicationName: 'control' }, 4);
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  const workers = await createWorkers({
    connection,
    namespace: 'default',
    prefix: engine.prefix,
    served: [serve(line, { first: scripted('first'), second: scripted('second'), third: scripted('third') })],
    workflows: await bundleOnce(new URL('./pipelines.ts', import.meta.url)),
    control,
    shutdownGrace: '100 milliseconds',
  });
  const running = workers.run();
  end = async () => {
    workers.shutdown();
    await running;
    await connection.close();
    await control.end();
    await gate.close();
  };
});
afterAll(async () => {
  await end?.();
  await engine?.close();
});

describe.each(['refuses', 'swallows'] as const)('a control store that %s', (how) => {
  it('neither fails nor delays the stages, and a park without its row is a park that repairs it', async () => {
    const dataDate = how === 'refuses' ? '2026-09-01' : '2026-09-02';
    const run = `line/${dataDate}`;
    let renewed = false;
    let secondAt = 0;
    scripts.set('first', () => {
      // The run is open; from here on the store is away.
      gate.set(how);
      return Promise.resolve('first ok');
    });
    scripts.set('second', () => {
      secondAt ||= Date.now();
      return renewed ? Promise.resolve('second ok') : Promise.resolve(throwCode('http_401'));
    });
    gate.set('open');
    const startedAt = Date.now();
    const handle = await engine.start('line', { dataDate });
    for (let tries = 0; tries < 200 && !(await page(handle)).includes('### second asks'); tries++) await sleep(50);
    expect(await page(handle)).toMatch(new RegExp(`mendflow retry ${run} '?second'? --token`));
    // Two rows are waited for at most two seconds each: the end of the first stage, and the failure of the second.
    expect(secondAt - startedAt).toBeLessThan(20_000);
    expect(await engine.rows('select 1 from mendflow.parked_run where run_key = $1', [run])).toEqual([]);
    gate.set('open');
    for (let tries = 0; tries < 800; tries++) {
      const rows = await engine.rows('select 1 from mendflow.parked_run where run_key = $1', [run]);
      if (rows.length > 0) break;
      await sleep(100);
    }
    const park = await engine.parked('second', run);
    expect(park).toMatchObject({ until: 'decision', code: 'http_401' });
    renewed = true;
    const outcome = await engine.decide(handle, { kind: 'retry', token: park.token, actor: 'ann', reason: 'renewed' });
    expect(outcome).toMatchObject({ taken: true });
    expect(await engine.result(handle)).toMatchObject({ state: 'done', decisions: 1, result: 'third ok' });
    expect(await engine.rows('select state from mendflow.run where key = $1', [run])).toEqual([{ state: 'done' }]);
  }, 150_000);
});

const page = async (handle: { query(name: string): Promise<unknown> }): Promise<string> =>
  ((await handle.query('__temporal_workflow_metadata')) as { currentDetails?: string }).currentDetails ?? '';
