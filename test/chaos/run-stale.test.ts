// What is promised here: a worker that was stopped holds acts that are redone elsewhere; woken, after runs were aborted, started again and forced, it changes nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import type { WorkerProcess } from '../../src/stack/index.ts';
import { freshDatabase } from '../support/database.ts';
import { untilStopped } from '../support/zombie.ts';
import { openStaleScene, type StaleScene } from './stale-scene.ts';

/** More of them by hand: MENDFLOW_TEST_ROUNDS=20. */
const ROUNDS = Number(process.env['MENDFLOW_TEST_ROUNDS'] ?? 1);
/** What a woken worker holds it does at once; this is many times that. */
const WOKEN_MS = 5_000;

let database: Awaited<ReturnType<typeof freshDatabase>>;
let at: StaleScene;
let zombie: WorkerProcess;
beforeAll(async () => {
  database = await freshDatabase();
  at = await openStaleScene({ databaseUrl: database.url, temporalAddress: inject('temporalAddress') });
  zombie = await at.worker('zombie');
  await at.worker('other');
}, 120_000);
afterAll(async () => {
  await at?.close();
  await database?.drop();
});

const names = (what: string, n: number): string[] =>
  Array.from({ length: n }, (_none, index) => `${what}-${index + 1}`);

it.each(names('round', ROUNDS))(
  'changes nothing (%s)',
  async (round) => {
    const done = names(`${round}-done`, 6);
    const asks = names(`${round}-ask`, 20);
    const again = names(`${round}-again`, 4);
    for (const id of done) await at.start(id, 'end');
    for (const id of again) await at.start(id, 'wait');
    await at.until(done, { state: 'done', generation: 1 });
    await at.until(again, { state: 'running' });

    process.kill(zombie.pid, 'SIGSTOP');
    await untilStopped(zombie.pid);
    // Whatever of this the server hands to the stopped worker is redone by the other, after the time each act has.
    for (const id of asks) await at.start(id, 'ask');
    for (const id of done) await at.start(id, 'end', { force: true });
    const ending = Promise.all(again.map((id) => at.abort(id)));
    await at.until(asks, { state: 'asking', parks: 1 });
    await at.until(done, { state: 'done', generation: 2 });
    await ending;
    await at.until(again, { state: 'aborted' });
    const aborted = asks.slice(0, 10);
    await Promise.all(aborted.map((id) => at.abort(id)));
    await at.until(aborted, { state: 'aborted', parks: 0 });
    for (const id of again) await at.start(id, 'wait');
    await at.until(again, { state: 'running', generation: 2 });
    // A stage that the server has handed to the stopped worker begins elsewhere only when its time is over: that is no stale write.
    const begun = async (): Promise<number | null> =>
      (
        await at.pool.query(
          `select from mendflow.stage_run where generation = 2 and stage = 'step' and state = 'running' and strpos(run_key, $1) > 0`,
          [`${round}-again-`],
        )
      ).rowCount;
    await expect.poll(begun, { timeout: 120_000 }).toBe(again.length);
    await sleep(1_000);

    const before = await at.whole();
    process.kill(zombie.pid, 'SIGCONT');
    await sleep(WOKEN_MS);
    expect(await at.whole()).toEqual(before);
    expect(await at.violations()).toEqual([]);

    for (const id of again) at.go(id);
    await at.until(again, { state: 'done', generation: 2 });
    const left = asks.slice(10);
    await Promise.all(left.map((id) => at.abort(id)));
    await at.until(left, { state: 'aborted', parks: 0 });
  },
  400_000,
);
