// What is promised here: of 64 that ask at the same moment exactly as many get a trial as there are permits; and a holder that dies anywhere blocks nobody.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { acquireBreaker } from '../../src/store/breaker-calls.ts';
import { declareBreakers, readBreaker } from '../../src/store/breakers.ts';
import { unlawful } from '../support/breaker-clock.ts';
import { codeOf, openScene, type Scene, until } from '../support/upstreams.ts';
import { startChild } from '../support/zombie.ts';
import type { Orders } from './breaker-holder.ts';

const CONNECTIONS = 64;
const ROUNDS = 200;

let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(() => scene.close());

it.each([1, 3])('64 connections race for %d permits, 200 rounds: as many grants each', async (permits) => {
  const clients = await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const client = new pg.Client({ connectionString: scene.url });
      await client.connect();
      return client;
    }),
  );
  const key = `http:race-${permits}`;
  await declareBreakers(scene.pool, {
    [key]: { address: 'http://localhost', breaker: { permits, cooldownMs: 60_000 } },
  });
  const grants: number[] = [];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const { epoch, state } = (await readBreaker(scene.pool, key))!;
      // Lawfully open again: the trial before failed, or, the first time, five calls did.
      if (state === 'closed')
        await scene.pool.query(`select mendflow.breaker_report($1, $2, null, 'w', p_fail => 5, p_tail => 5)`, [
          key,
          epoch,
        ]);
      // The cooldown ends for all at once.
      await scene.pool.query('update mendflow.breaker set open_until = clock_timestamp() where key = $1', [key]);
      const answers = await Promise.all(
        clients.map((client, n) => acquireBreaker(client, key, `c${n}`, undefined, false)),
      );
      const granted = answers.filter(({ allow }) => allow);
      grants.push(new Set(granted.map(({ token }) => token)).size);
      const { epoch: trial, token } = granted[0]!;
      await scene.pool.query(`select mendflow.breaker_report($1, $2, $3, 'w', p_fail => 1)`, [key, trial, token]);
    }
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
  expect(grants).toEqual(Array<number>(ROUNDS).fill(permits));
  expect(await unlawful(scene.pool, key)).toEqual([]);
});

/** An upstream that is well and keeps its own log. */
async function upstream(): Promise<{ address: string; log: string[]; server: Server }> {
  const log: string[] = [];
  const server = createServer((request, response) => {
    log.push(String(request.headers['user-agent']));
    // Slow enough to be killed in the middle of.
    setTimeout(() => response.end('well'), 150);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, log, server };
}

it.each(['after acquire', 'in mid-call', 'before the report', 'after the report'] as const)(
  'the holder of the trial is killed %s: one other gets it, and it ends well',
  async (point) => {
    const { address, log, server } = await upstream();
    const key = `http:killed-${point.replaceAll(' ', '-')}`;
    // A lease is at least five seconds longer than a call may take.
    const declared = {
      [key]: { address, timeout: '500 milliseconds' as const, breaker: { cooldownMs: 300, leaseMs: 1 } },
    };
    const workers = await Promise.all(['one', 'two', 'three'].map((name) => scene.worker(name, declared)));
    await scene.pool.query(`select mendflow.breaker_report($1, 1, null, 'w', p_fail => 5, p_tail => 5)`, [key]);
    const orders: Orders = { url: scene.url, key, address, point };
    const { signal } = await startChild(new URL('./breaker-holder.ts', import.meta.url), orders).ended;
    expect(signal).toBe('SIGKILL');
    const died = performance.now();
    const reached = point === 'after acquire' ? 0 : 1;
    expect(log).toHaveLength(reached);
    // All others ask all the time, as parked runs would that are woken too early.
    let asked = 0;
    await until(async () => {
      asked++;
      await Promise.all(
        workers.map((worker) => codeOf(worker.at(key).call(() => fetch(address).then((got) => got.text())))),
      );
      return (await readBreaker(scene.pool, key))!.state === 'ramping';
    }, 20_000);
    const { rows } = await scene.pool.query<{ n: number }>(
      `select count(*)::int as n from mendflow.breaker_event where key = $1 and from_state = 'half_open'`,
      [key],
    );
    expect(rows[0]!.n).toBe(1);
    expect(await unlawful(scene.pool, key)).toEqual([]);
    if (point !== 'after the report') {
      // Nobody went before the lease was over, and then one.
      expect(performance.now() - died).toBeGreaterThan(4_000);
      expect(asked).toBeGreaterThan(3);
      expect(log).toHaveLength(reached + 1);
    }
    server.close();
  },
);
