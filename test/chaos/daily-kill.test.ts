import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { WorkerProcess } from '../../src/stack/index.ts';
import { migratedDatabase } from '../support/database.ts';
import { type DailyChaos, openDaily } from './daily-scene.ts';

/** Where the worker dies: the stage, the point, and which passing of it in that stage. */
const deaths = [
  ['extract', 'dataset.afterPart', 1],
  ['extract', 'dataset.afterSeal', 1],
  ['validate', 'chunk.inCommit', 1],
  ['validate', 'dataset.beforeSeal', 1],
  ['transform', 'dataset.afterPart', 2],
  ['load', 'chunk.midCopy', 1],
  ['load', 'chunk.inCommit', 1],
  ['report', 'report.beforeRename', 1],
  ['report', 'report.afterRename', 1],
] as const;

const date = '2018-02-03';
const records = 259;

let database: Awaited<ReturnType<typeof migratedDatabase>>;
let at: DailyChaos;
/** Healed the run before; dies in the next one. */
let current: WorkerProcess;
beforeAll(async () => {
  database = await migratedDatabase();
  at = await openDaily({ databaseUrl: database.url, temporalAddress: inject('temporalAddress') });
  current = await at.worker('worker-0');
}, 120_000);
afterAll(async () => {
  await at?.close();
  await database?.drop();
});

async function untilDead(worker: WorkerProcess): Promise<void> {
  for (let tries = 0; tries < 3_000 && worker.isAlive(); tries++) await sleep(10);
  if (worker.isAlive()) throw new Error('The worker did not die within 30 s: the point was not passed often enough.');
}

describe('daily-report whose worker is killed with -9', () => {
  it.each(deaths.map((death, index) => [...death, index + 1] as const))(
    'in %s at %s (passing %i) goes on with the records of the stages before, to rows equal to the file',
    async (stage, point, nth, no) => {
      at.upstream.script([]);
      const before = at.upstream.log().length;
      const next = at.worker(`worker-${no}`, { gated: true });
      next.catch(() => undefined); // Awaited below, once the one before is dead.
      const run = await at.start(date, { worker: current, stage, failpoints: `${point}:kill@${nth}` });
      await untilDead(current);
      at.openGate(`worker-${no}`);
      current = await next;
      const summary = await at.done(run);
      expect(summary).toMatchObject({ state: 'done', balanced: true, decisions: 0, read: records });
      // Every run but the first finds the same day loaded: nothing may be written twice.
      expect(summary.loaded).toBe(no === 1 ? records : 0);
      expect(await at.violations(date)).toEqual([]);
      // Five calls fetch the day; a stage that is done is not done again.
      const calls = at.upstream.log().length - before;
      const again = point === 'dataset.afterPart' && stage === 'extract';
      expect(calls, 'calls of the upstream').toBe(again ? 10 : 5);
    },
  );
});
