// What is promised here: no wait goes by the clock of a worker, be it wrong or jumping; and doctor names that worker.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { clockChecks } from '../../src/commands/support/checks.ts';
import { freshDatabase } from '../support/database.ts';
import { openStaleScene, type StaleScene } from './stale-scene.ts';

const HOUR_MS = 3_600_000;
/** Five calls were made in a quarter of this by a worker whose clock was ahead. */
const LOOK_MS = 5_000;
/** Longer than the budget, so that the run parks; and no longer than a test may take. */
const SHORT_S = 8;

let server: Server;
let database: Awaited<ReturnType<typeof freshDatabase>>;
let at: StaleScene;
/** When each path was called, by a clock that nobody sets. */
const calls = new Map<string, number[]>();

/** `/900-…` answers 503 with `Retry-After: 900`; a short one is well the second time. */
beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url!.slice(1);
    const seen = [...(calls.get(path) ?? []), performance.now()];
    calls.set(path, seen);
    const seconds = path.split('-')[0]!;
    if (Number(seconds) <= SHORT_S && seen.length > 1) response.end('well');
    else response.writeHead(503, { 'retry-after': seconds }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  database = await freshDatabase();
  const apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  at = await openStaleScene({ databaseUrl: database.url, temporalAddress: inject('temporalAddress'), apiUrl });
  at.shiftClocks(HOUR_MS);
  await at.worker('wrong');
}, 120_000);
afterAll(async () => {
  await at?.close();
  await database?.drop();
  server?.close();
});

it('doctor names the worker, and how far it is off', async () => {
  let named = await clockChecks(at.pool);
  for (let tries = 0; tries < 100 && named.length === 0; tries++) {
    await sleep(200);
    named = await clockChecks(at.pool);
  }
  expect(named).toEqual([expect.objectContaining({ state: 'wrong', mend: expect.stringContaining('NTP') })]);
  expect(named[0]!.says).toMatch(/^that of worker \S+:\d+ is (1 h|60 min|59 min\b.*) ahead of the database;/);
});

async function waits(id: string): Promise<{ seconds: number; leftSeconds: number }> {
  const { rows } = await at.pool.query<{ seconds: number; leftSeconds: number }>(
    `select extract(epoch from wake_at - since)::float8 as seconds, extract(epoch from wake_at - clock_timestamp())::float8 as "leftSeconds"
     from mendflow.parked_run where run_key like '%/' || $1`,
    [id],
  );
  return rows[0]!;
}

it.each([
  ['an hour ahead', HOUR_MS],
  ['an hour behind', -HOUR_MS],
  ['a day ahead', 24 * HOUR_MS],
])('a worker whose clock is %s keeps a wait of 900 s', async (name, shiftMs) => {
  at.shiftClocks(shiftMs);
  const id = `900-${name.replaceAll(' ', '-')}`;
  await at.start(id, 'call');
  await at.until([id], { state: 'parked', parks: 1 });
  await sleep(LOOK_MS);
  expect(calls.get(id)).toHaveLength(1);
  const { seconds, leftSeconds } = await waits(id);
  expect(seconds).toBeGreaterThanOrEqual(900);
  expect(leftSeconds).toBeGreaterThan(800);
  expect(leftSeconds).toBeLessThan(1_000);
});

it.each([
  ['is behind', -HOUR_MS, -HOUR_MS],
  ['is ahead', HOUR_MS, HOUR_MS],
  ['jumps ahead meanwhile', 0, HOUR_MS],
  ['jumps back meanwhile', HOUR_MS, -HOUR_MS],
])(
  'a worker whose clock %s goes on when the wait is over, and not before',
  async (name, fromMs, toMs) => {
    at.shiftClocks(fromMs);
    const id = `${SHORT_S}-${name.replaceAll(' ', '-')}`;
    await at.start(id, 'call');
    await at.until([id], { state: 'parked', parks: 1 });
    at.shiftClocks(toMs);
    await at.until([id], { state: 'done', parks: 0 });
    const [first, second, ...more] = calls.get(id)!;
    expect(more).toEqual([]);
    expect(second! - first!).toBeGreaterThanOrEqual(SHORT_S * 1_000);
  },
  150_000,
);
