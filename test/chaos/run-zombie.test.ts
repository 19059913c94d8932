import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { WorkerProcess } from '../../src/stack/index.ts';
import { migratedDatabase } from '../support/database.ts';
import { untilStopped } from '../support/zombie.ts';
import { makeTruth, openScene, type Scene, type Truth } from './run-scene.ts';

const LANES = 2;

let truth: Truth;
let database: Awaited<ReturnType<typeof migratedDatabase>>;
let at: Scene;
/** Healed the run before; is stopped in the next one. */
let current: WorkerProcess;
beforeAll(async () => {
  truth = makeTruth(60_000);
  database = await migratedDatabase();
  at = await openScene(truth, { databaseUrl: database.url, temporalAddress: inject('temporalAddress') });
  current = await at.worker('worker-0');
}, 300_000);
afterAll(async () => {
  await at?.close();
  await database?.drop();
  await truth?.remove();
});

describe('log-ingest whose worker is stopped for longer than its heartbeat, and woken after its successor has finished', () => {
  it.each([
    ['inside of COPY', 'chunk.midCopy', 1],
    ['behind its fence, before COMMIT', 'chunk.beforeCommit', 2],
  ] as const)('(%s) holds nobody up and writes nothing', async (_where, point, no) => {
    const writtenBefore = await at.redone();
    const next = at.worker(`worker-${no}`, { gated: true });
    const run = await at.ingest(point, { worker: current, failpoints: `${point}:stop@3` });
    await untilStopped(current.pid);
    const zombie = current;
    at.openGate(`worker-${no}`);
    current = await next;
    expect(await run.done()).toMatchObject({ state: 'done', balanced: true, decisions: 0, loaded: truth.rows });
    expect(await at.violations(run)).toEqual([]);
    process.kill(zombie.pid, 'SIGCONT');
    await sleep(1_500);
    // It lives, has given its attempt up, and ends in order: nothing in it hangs on a lock or a dead connection.
    expect(zombie.isAlive()).toBe(true);
    await zombie.stop(10_000);
    expect(zombie.isAlive()).toBe(false);
    expect(await at.violations(run)).toEqual([]);
    const { rows, chunkRowsMax } = await at.redone();
    expect(rows - writtenBefore.rows).toBeLessThanOrEqual(LANES * chunkRowsMax);
  });
});
