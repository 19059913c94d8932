// What is promised here: no clock that jumps and no two clocks that differ make a breaker wait for ever, try twice at once, or break its rules.
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { breakerDefaults } from '../../src/model/upstream.ts';
import { acquireBreaker, reportBreaker } from '../../src/store/breaker-calls.ts';
import { declareBreakers, setMode, tickBreaker, wouldAdmit } from '../../src/store/breakers.ts';
import { session, unlawful } from '../support/breaker-clock.ts';
import { migratedDatabase } from '../support/database.ts';

let url: string;
let client: pg.Client;
let pool: pg.Pool;
const ends: (() => Promise<unknown>)[] = [];
const connect = async (skew?: string): Promise<pg.Client> => {
  const one = new pg.Client({ connectionString: url });
  await one.connect();
  ends.unshift(() => one.end());
  if (skew !== undefined) await one.query(`select set_config('mendflow.skew', $1, false)`, [skew]);
  return one;
};
beforeAll(async () => {
  const database = await migratedDatabase();
  ({ url } = database);
  pool = new pg.Pool({ connectionString: url, max: 2 });
  ends.push(
    () => pool.end(),
    () => database.drop(),
  );
  client = await connect();
});
afterAll(async () => {
  for (const end of ends) await end();
});

it.each([-600_000, -3_600_000])(
  'a clock set back by %d ms makes nobody wait longer than the longest cooldown',
  async (jump) => {
    const s = await session(client, { cooldownMaxMs: 120_000 });
    await s.fail(5);
    await s.pass(jump);
    const { allow, retryMs } = await s.acquire();
    expect([allow, retryMs]).toEqual([false, 120_000]);
    await s.pass(120_000);
    expect((await s.acquire()).token).toBeDefined();
  },
);

it.each([600_000, 3_600_000])('a clock set forward by %d ms gives one early trial, and no more', async (jump) => {
  const s = await session(client);
  await s.fail(5);
  await s.pass(jump);
  expect((await s.acquire()).token).toBeDefined();
  expect((await s.acquire()).allow).toBe(false);
});

it('a clock set back keeps no gate, no ramp and no slot of a paced upstream for longer than they are', async () => {
  const s = await session(client, { gateMaxMs: 30_000, rampMs: 5_000 });
  await s.report({ epoch: 1 }, { gateMs: 20_000 });
  await s.client.query('select mendflow.breaker_pace($1, 5, 10)', [s.key]);
  await s.pass(-3_600_000);
  expect((await s.acquire()).retryMs).toBe(30_000);
  const { rows } = await s.client.query<{ wait_ms: number }>('select wait_ms from mendflow.breaker_pace($1, 1, 10)', [
    s.key,
  ]);
  expect(rows[0]!.wait_ms).toBeLessThanOrEqual(525);
  await s.pass(30_000);
  await s.fail(5);
  await s.pass(900_000);
  const trial = await s.acquire();
  expect(await s.report({ epoch: trial.epoch, token: trial.token! }, { ok: 1 })).toBe('closing');
  await s.pass(-3_600_000);
  expect(await s.tick()).toBe('none');
  await s.pass(5_000);
  expect(await s.tick()).toBe('closed');
});

it('five sessions whose clocks differ by an hour leave a lawful history behind', { timeout: 60_000 }, async () => {
  const key = 'http:skewed';
  await declareBreakers(client, {
    [key]: {
      address: 'http://localhost',
      timeout: '1 second',
      breaker: { consecutive: 2, cooldownMs: 1, cooldownMaxMs: 20, rampMs: 1 },
    },
  });
  const sessions = await Promise.all(['0', '10 minutes', '-10 minutes', '1 hour', '-1 hour'].map(connect));
  let seed = 7;
  const dice = (sides: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor(seed / 65_536) % sides;
  };
  await Promise.all(
    sessions.map(async (one, index) => {
      for (let n = 0; n < 250; n++) {
        const { allow, epoch, token } = await acquireBreaker(one, key, `s${index}`, undefined, false);
        const outcome = [{ ok: 1 }, { ok: 1 }, { fail: 1, tail: 1 }, { fail: 1, tail: 1 }, {}][dice(5)]!;
        if (allow && dice(8) > 0)
          await reportBreaker(one, key, {
            epoch,
            worker: `s${index}`,
            ...(token === undefined ? {} : { token }),
            ...outcome,
          });
        if (dice(6) === 0) await tickBreaker(one, key);
      }
    }),
  );
  expect(await unlawful(client, key)).toEqual([]);
  const { rows } = await client.query<{ n: number }>(
    `select count(*)::int as n from mendflow.breaker_event where key = $1`,
    [key],
  );
  expect(rows[0]!.n).toBeGreaterThan(20);
});

it('the last move is found at once behind thousands of gates', async () => {
  await client.query(
    `insert into mendflow.breaker_event (key, kind, epoch, from_state, to_state, reason)
     select 'http:throttled', case when n = 1 then 'move' else 'gate' end, 1, 'closed', 'closed', 'x' from generate_series(1, 5000) n`,
  );
  await client.query('analyze mendflow.breaker_event');
  const { rows } = await client.query<{ 'QUERY PLAN': string }>(
    `explain (analyze, timing off, costs off) select id from mendflow.breaker_event
     where key = 'http:throttled' and kind = 'move' order by id desc limit 1`,
  );
  expect(rows.map((row) => row['QUERY PLAN']).join('\n')).not.toMatch(/Rows Removed by Filter/);
});

it('a mode ends by itself, and the event says by what', async () => {
  const s = await session(client);
  await s.client.query(`select mendflow.breaker_set_mode($1, 'forced_open', 60000, 'ada', 'maintenance')`, [s.key]);
  expect(await s.acquire()).toMatchObject({ allow: false, why: 'forced_open', retryMs: 60_000 });
  await s.pass(60_000);
  expect((await s.acquire()).allow).toBe(true);
  expect((await s.row()).mode).toBe('auto');
  expect(await s.tick()).toBe('auto');
  const { rows } = await client.query(
    `select reason, detail from mendflow.breaker_event where key = $1 and kind = 'mode' order by id desc limit 1`,
    [s.key],
  );
  expect(rows[0]).toEqual({ reason: 'auto', detail: { by: 'expiry', before: 'forced_open' } });
});

it('asking whether a call would be admitted changes nothing', async () => {
  const s = await session(client);
  await s.fail(5);
  await s.pass(60_000);
  const dump = async (): Promise<unknown> =>
    (
      await client.query(
        `select b.*, (select count(*) from mendflow.breaker_trial), (select count(*) from mendflow.breaker_event) from mendflow.breaker b where key = $1`,
        [s.key],
      )
    ).rows;
  const before = await dump();
  await client.query('begin read only');
  expect(await wouldAdmit(client, s.key)).toMatchObject({ admit: true, trial: true, state: 'open', retryMs: 0 });
  expect(await wouldAdmit(client, 'http:nobody-knows')).toMatchObject({ admit: true, trial: false, state: 'closed' });
  await client.query('commit');
  expect(await dump()).toEqual(before);
});

it('a hold is cleared by an operator who sets auto, and the cooldown then counts', async () => {
  const s = await session(client);
  expect(await s.report({ epoch: 1 }, { hold: 'http_401', print: 'p1' })).toBe('held');
  await s.pass(3_600_000);
  expect(await s.acquire({ print: 'p1' })).toMatchObject({ allow: false, why: 'hold' });
  await setMode(pool, s.key, { mode: 'auto', by: 'ada', why: 'renewed' });
  expect((await s.acquire({ print: 'p1' })).token).toBeDefined();
});

it('has the defaults of the declaration, and its SQL reads no other clock than its own', async () => {
  for (const [name, value] of Object.entries(breakerDefaults)) {
    const { rows } = await client.query<{ v: number }>(`select mendflow.breaker_setting('{}', $1) as v`, [name]);
    expect([name, rows[0]!.v]).toEqual([name, value]);
  }
  const sql = readFileSync(new URL('../../migrations/0003_breakers.sql', import.meta.url), 'utf8');
  const clocks = sql
    .split('\n')
    .filter((line) => /\b(now\(\)|clock_timestamp|current_timestamp|statement_timestamp)/.test(line));
  // One is the clock; the two others are the column defaults that stand before it is defined and are replaced by it.
  expect(clocks.map((line) => line.trim().split(' ')[0])).toEqual(['changed_at', 'at', 'clock_timestamp()']);
});
