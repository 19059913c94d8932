import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { failpoints } from '../../src/store/failpoint.ts';
import type { WorkerProcess } from '../../src/stack/index.ts';
import { migratedDatabase } from '../support/database.ts';
import { makeTruth, openScene, type Scene, type Truth } from './run-scene.ts';

/** Points passed once in a run act at the first passing, the others in mid-load. */
const nth = (point: string): number => (/^(lease|run|flow)\./.test(point) ? 1 : 3);
const LANES = 2;
/** Three chunks: one is committed, two are in flight when the worker dies. */
const LINES = 60_000;

let truth: Truth;
let database: Awaited<ReturnType<typeof migratedDatabase>>;
let at: Scene;
/** Healed the run before; dies in the next one. */
let current: WorkerProcess;
beforeAll(async () => {
  truth = makeTruth(LINES);
  database = await migratedDatabase();
  at = await openScene(truth, { databaseUrl: database.url, temporalAddress: inject('temporalAddress') });
  current = await at.worker('worker-0');
}, 300_000);
afterAll(async () => {
  await at?.close();
  await database?.drop();
  await truth?.remove();
});

async function untilDead(worker: WorkerProcess): Promise<void> {
  for (let tries = 0; tries < 3_000 && worker.isAlive(); tries++) await sleep(10);
  if (worker.isAlive()) throw new Error('The worker did not die within 30 s: the point was not passed often enough.');
}

describe('log-ingest whose worker is killed with -9', () => {
  it.each(failpoints.map((point, index) => [point, index + 1] as const))(
    'at %s ends by itself on the next worker: rows equal the oracle, none twice, at most a chunk redone per connection',
    async (point, no) => {
      const writtenBefore = await at.redone();
      const next = at.worker(`worker-${no}`, { gated: true });
      const run = await at.ingest(point, { worker: current, failpoints: `${point}:kill@${nth(point)}` });
      await untilDead(current);
      at.openGate(`worker-${no}`);
      current = await next;
      const startedAt = Date.now();
      const summary = await run.done();
      // Heartbeat timeouts are 1 s, of closing 10 s; the rest is the careful reading of what may have killed the worker.
      expect(Date.now() - startedAt).toBeLessThan(point.startsWith('run.') ? 30_000 : 20_000);
      expect(summary).toMatchObject({ state: 'done', balanced: true, decisions: 0, loaded: truth.rows });
      expect(await at.violations(run)).toEqual([]);
      const { rows, chunkRowsMax } = await at.redone();
      expect(rows - writtenBefore.rows).toBeLessThanOrEqual(LANES * chunkRowsMax);
    },
  );
});
