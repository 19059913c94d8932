// What is promised here: one broken worker opens nothing as long as another is answered, and a worker that is gone or idle keeps nothing closed.
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { session } from '../support/breaker-clock.ts';
import { play, settings, stories } from '../support/breaker-witnesses.ts';
import { connectedDatabase } from '../support/database.ts';

let client: pg.Client;
let end: () => Promise<void>;
beforeAll(async () => {
  ({ client, end } = await connectedDatabase());
});
afterAll(() => end());

it.each(stories)('$name', async ({ steps, opensAt }) => {
  const s = await session(client, settings);
  const opened = await play(steps, {
    report: async (by, told) => (await s.report({ epoch: 1 }, told, by)) === 'opened',
    leave: async (worker) => void (await client.query('select mendflow.breaker_leave($1)', [worker])),
    pass: (ms) => s.pass(ms),
  });
  expect(opened).toBe(opensAt);
  expect((await s.row()).state).toBe(opensAt === undefined ? 'closed' : 'open');
});
