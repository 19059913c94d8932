// What is promised here: an outage of a week costs a run no more history than one of an hour, and no kill of a server or worker loses a parked run.
import { chmodSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { breakerId } from '../../src/model/ids.ts';
import { findTemporalCli, startPostgres, startTemporal } from '../../src/stack/index.ts';
import { breakerEvents } from '../../src/store/breakers.ts';
import { openOutage } from '../support/outage.ts';
import { names, openHerd } from './herd-scene.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.toReversed()) await close();
  closing.length = 0;
}, 60_000);

const repository = join(import.meta.dirname, '..', '..');
/** A look of ten minutes in 30 ms, a cooldown of a quarter of an hour in 45: a week in half a minute. */
const SCALE = 20_000;
const WEEK_MS = (7 * 86_400_000) / SCALE;
const scaled = (minutes: number): number => Math.ceil((minutes * 60_000) / SCALE);

describe('an outage of a week', () => {
  it('costs no execution a thousand events, and then everything goes on', async () => {
    const at = await openOutage({
      upstream: {
        breaker: { consecutive: 3, workersMin: 1, cooldownMs: scaled(1), cooldownMaxMs: scaled(15), rampMs: 500 },
      },
      pace: { recheckMs: scaled(10), tickMaxMs: 100, tellAgainMs: 1_000, sweepMs: 1_000 },
    });
    closing.push(() => at.close());
    await at.startWorker();
    at.api.answer(503);
    const ids = names('week-', 3);
    const handles = [];
    for (const id of ids)
      handles.push(await at.engine.start('call', { input: { id }, scope: id, carryAfterMs: scaled(10) }));
    await at.parked(3);
    await sleep(WEEK_MS);
    const executions = async (workflowId: string): Promise<number[]> => {
      const lengths: number[] = [];
      for await (const one of at.engine.client.workflow.list({ query: `WorkflowId = "${workflowId}"` })) {
        const handle = at.engine.client.workflow.getHandle(workflowId, one.runId);
        lengths.push((await handle.describe()).historyLength);
      }
      return lengths;
    };
    const events = await breakerEvents(at.engine.pool, 'http:api', 10_000);
    const figures = {
      trials: events.filter(({ to }) => to === 'half_open').length,
      calls: at.api.seen.length,
      runs: await Promise.all(handles.map(async ({ workflowId }) => Math.max(...(await executions(workflowId))))),
      recovery: Math.max(...(await executions(breakerId(at.engine.prefix, 'http:api')))),
    };
    console.log(JSON.stringify(figures));
    expect(figures.trials).toBeGreaterThan(20);
    expect(figures.calls).toBeLessThanOrEqual(figures.trials + 10);
    for (const longest of [...figures.runs, figures.recovery]) expect(longest).toBeLessThan(1_000);
    at.api.answer(200);
    for (const handle of handles) {
      const latest = at.engine.client.workflow.getHandle(handle.workflowId);
      expect(await at.engine.result(latest)).toMatchObject({ state: 'done', decisions: 0 });
    }
  });
});

describe('runs parked on a dead upstream', () => {
  it('are all there after kills of Temporal, Postgres and the worker in turn', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mendflow-parked-'));
    chmodSync(dir, 0o755); // As root Postgres runs as another user, who has to get in.
    closing.push(() => rm(dir, { recursive: true, force: true }));
    const cacheDir = process.env['MENDFLOW_CACHE'] ?? join(repository, '.mendflow', 'cache');
    const { path: cli } = await findTemporalCli({ explicit: process.env['TEMPORAL_CLI'], cacheDir });
    const startServer = () => startTemporal({ dir, cli, headless: true });
    const startDatabase = () => startPostgres({ dir, cacheDir: join(dir, 'cache') });
    let [postgres, temporal] = await Promise.all([startDatabase(), startServer()]);
    closing.push(() => Promise.allSettled([postgres.stop('immediate'), temporal.stop()]));
    const herd = await openHerd({ databaseUrl: postgres.url, temporalAddress: temporal.address }, 20);
    closing.push(() => herd.close());
    const worker = await herd.worker('a');
    const n = 30;
    await herd.up(false);
    await herd.start('late', names('kept-', n));
    await herd.untilWaiting(n, 60_000);

    process.kill(temporal.pid, 'SIGKILL');
    await sleep(2_000);
    temporal = await startServer();
    await postgres.stop('immediate');
    await sleep(2_000);
    postgres = await startDatabase();
    await worker.kill();
    await herd.worker('b');

    await herd.up(true);
    await herd.untilDone(n, 150_000);
    expect(await herd.waiting()).toBe(0);
    const { rows } = await herd.pool.query('select 1 from mendflow.decision');
    expect(rows).toEqual([]);
  }, 300_000);
});
