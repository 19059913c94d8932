// What is promised here: the faults found in the breakers we learned from are not in this one. One test each, named after where it was found.
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openUpstreams } from '../../src/connectors/upstream.ts';
import { openPool } from '../../src/store/db.ts';
import { session } from '../support/breaker-clock.ts';
import { connectedDatabase } from '../support/database.ts';

let client: pg.Client;
let url: string;
let end: () => Promise<void>;
beforeAll(async () => {
  ({ url, client, end } = await connectedDatabase());
});
afterAll(() => end());

it('a late result moves nothing, good or bad (Polly #216)', async () => {
  const s = await session(client);
  const early = await s.acquire();
  await s.fail(5);
  await s.pass(61_000);
  const trial = await s.acquire();
  expect(trial.token).toBeDefined();
  expect(await s.report({ epoch: early.epoch }, { ok: 1 })).toBe('late');
  expect(await s.report({ epoch: early.epoch }, { fail: 9, tail: 9 })).toBe('late');
  expect(await s.row()).toMatchObject({ state: 'half_open', epoch: trial.epoch, streak: 1 });
  await s.report({ epoch: trial.epoch, token: trial.token! }, { ok: 1 });
  await s.pass(61_000);
  await s.tick();
  // Closed again: what failed before the outage was understood is no sign of the next one.
  expect(await s.report({ epoch: early.epoch }, { fail: 9, tail: 9 })).toBe('late');
  expect(await s.row()).toMatchObject({ state: 'closed', consecutive: 0, window: { calls: 0 } });
});

it('a cancelled trial closes nothing; its permit goes to the next (Polly, opossum)', async () => {
  const s = await session(client);
  await s.fail(5);
  await s.pass(61_000);
  const trial = await s.acquire();
  expect(await s.report({ epoch: trial.epoch, token: trial.token! }, {})).toBe('released');
  expect((await s.row()).state).toBe('half_open');
  expect((await s.acquire()).token).toBeDefined();
});

it('a trial that is answered with a 4xx ends the trial, and well (nora #585)', async () => {
  const s = await session(client);
  await s.fail(5);
  await s.pass(61_000);
  const trial = await s.acquire();
  // The runtime reports an answer of any kind as ok; upstream.test.ts shows which codes are answers.
  expect(await s.report({ epoch: trial.epoch, token: trial.token! }, { ok: 1 })).toBe('closing');
});

it('a night of failed trials is outlived by calm: each longest cooldown that it stays closed takes one opening off', async () => {
  const s = await session(client, { consecutive: 1, cooldownMs: 60_000, cooldownMaxMs: 240_000, rampMs: 1_000 });
  const open = async (): Promise<number> => {
    await s.fail(1);
    return (await s.acquire()).retryMs;
  };
  const trial = async (what: { ok?: number; fail?: number }): Promise<void> => {
    await s.pass(240_000);
    const { epoch, token } = await s.acquire();
    await s.report({ epoch, token: token! }, what);
  };
  expect(await open()).toBe(60_000);
  for (let n = 0; n < 8; n++) await trial({ fail: 1 });
  expect(await s.row()).toMatchObject({ state: 'open', streak: 3 });
  await trial({ ok: 1 });
  await s.pass(1_000);
  await s.tick();
  expect(await s.row()).toMatchObject({ state: 'closed', streak: 2 });
  await s.pass(240_000);
  expect(await open()).toBe(120_000);
  await trial({ ok: 1 });
  await s.pass(1_000);
  await s.tick();
  await s.pass(480_000);
  expect(await open()).toBe(60_000);
});

it('a trial that hangs wedges nothing: it is granted again, twice, then counts as failed (OmniRoute #13836)', async () => {
  const s = await session(client, { leaseMs: 10_000, cooldownMs: 60_000 });
  await s.fail(5);
  await s.pass(60_000);
  const tokens = new Set<string>();
  for (let grant = 0; grant < 3; grant++) {
    const { token } = await s.acquire();
    tokens.add(token!);
    expect((await s.acquire()).allow).toBe(false);
    await s.pass(10_000);
  }
  expect(tokens.size).toBe(3);
  expect(await s.acquire()).toMatchObject({ allow: false, why: 'open', retryMs: 120_000 });
  expect(await s.row()).toMatchObject({ state: 'open', streak: 2 });
  // Without a caller the tick of recovery does the same.
  await s.pass(120_000);
  for (let grant = 0; grant < 3; grant++) {
    expect((await s.acquire()).allow).toBe(true);
    await s.pass(10_000);
  }
  expect(await s.tick()).toBe('reopened');
});

it.each([3_600_000, 60_000])(
  'failures of %d ms ago do not count in a window that nobody called in since (cockatiel)',
  async (idleMs) => {
    const s = await session(client, { consecutive: 1_000, callsMin: 20 });
    await s.fail(19);
    await s.pass(idleMs);
    expect(await s.fail(1)).toBe('counted');
    expect((await s.row()).window).toMatchObject({ calls: 1, fail: 1 });
    await s.fail(18);
    expect(await s.fail(1)).toBe('opened');
  },
);

it('the first failure of a quiet day opens nothing (opossum)', async () => {
  const s = await session(client);
  expect(await s.fail(1)).toBe('counted');
  expect((await s.row()).state).toBe('closed');
});

it('two that read before they lock lose no count (gobreaker, distributed)', async () => {
  const s = await session(client, { consecutive: 40, callsMin: 1_000 });
  const others = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const other = new pg.Client({ connectionString: url });
      await other.connect();
      return other;
    }),
  );
  const one = `select effect from mendflow.breaker_report($1, 1, null, 'w1', p_fail => 1, p_tail => 1)`;
  const effects: string[] = [];
  await Promise.all(
    others.map(async (other) => {
      for (let n = 0; n < 5; n++) effects.push((await other.query<{ effect: string }>(one, [s.key])).rows[0]!.effect);
    }),
  );
  await Promise.all(others.map((other) => other.end()));
  // Forty failures in a row open it exactly at the fortieth.
  expect(effects.filter((effect) => effect === 'opened')).toHaveLength(1);
  expect(effects.filter((effect) => effect === 'counted')).toHaveLength(39);
});

it('one bad machine does not open what others use well (Polly #287)', async () => {
  const s = await session(client, { consecutive: 5, callsMin: 20 });
  await s.report({ epoch: 1 }, { ok: 100 }, 'w2');
  expect(await s.fail(30, 'w1')).toBe('counted');
  expect((await s.row()).state).toBe('closed');
  expect(await s.fail(1, 'w2')).toBe('opened');
});

it('a worker that starts anew takes over the open breaker with what is left of its cooldown (opossum)', async () => {
  const s = await session(client);
  await client.query('reset mendflow.stopped_at');
  await client.query(`select mendflow.breaker_report($1, 1, null, 'w1', p_fail => 5, p_tail => 5)`, [s.key]);
  const control = openPool({ url, applicationName: 'restarted' });
  const open = await openUpstreams(
    { [s.key]: { address: 'http://localhost' } },
    { control, databaseUrl: url, worker: 'restarted', readSecret: () => undefined },
  );
  let called = 0;
  const refused = await open
    .at(s.key)
    .call(() => Promise.resolve(called++))
    .catch((error: unknown) => (error as { failure: { nextDelayMs: number } }).failure.nextDelayMs);
  expect(called).toBe(0);
  expect(refused).toBeGreaterThan(50_000);
  expect(refused).toBeLessThanOrEqual(66_000);
  await open.close();
  await control.end();
});

it('three trials are enough however rarely somebody calls (resilience4j #2028)', async () => {
  const s = await session(client, { permits: 3 });
  await s.fail(5);
  await s.pass(61_000);
  for (const effect of ['trial ok', 'trial ok', 'closing']) {
    const trial = await s.acquire();
    expect(await s.report({ epoch: trial.epoch, token: trial.token! }, { ok: 1 })).toBe(effect);
    await s.pass(3_600_000);
  }
  expect((await s.row()).state).toBe('ramping');
});
