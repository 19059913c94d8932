// What is promised here: the SQL and the reducer are one breaker: the same commands bring both to the same state, with the same answer, at every step.
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  type BreakerState,
  freshBreaker,
  lookAt,
  type Mode,
  reduceBreaker,
  type Report,
} from '../../src/model/breaker.ts';
import { sums } from '../../src/model/breaker-window.ts';
import { connectedDatabase } from '../support/database.ts';

let client: pg.Client;
let end: () => Promise<void>;
beforeAll(async () => {
  ({ client, end } = await connectedDatabase());
  await client.query('set synchronous_commit = off');
});
afterAll(() => end());

const settings = {
  consecutive: 3,
  callsMin: 6,
  failureShare: 0.5,
  slowShare: 0.8,
  windowMs: 60_000,
  cooldownMs: 10_000,
  cooldownMaxMs: 60_000,
  leaseMs: 7_000,
  reissuesMax: 2,
  permits: 1,
  workersMin: 2,
  rampMs: 15_000,
  othersMs: 20_000,
  gateMaxMs: 120_000,
  cooldownJitter: 0,
};
const START = 1_800_000_000_000;

/** Both breakers, and what a caller remembers: the tokens and epochs it was given. */
interface Pair {
  readonly key: string;
  now: number;
  model: BreakerState;
  readonly given: { token: string | undefined; epoch: number }[];
  steps: string[];
}

const ask = async <T>(statement: string, values: unknown[]): Promise<T> =>
  (await client.query(statement, values)).rows[0] as T;

/** Everything the two have to agree in, as the database has it. */
async function rowOf(pair: Pair): Promise<unknown> {
  return await ask(
    `select b.state, b.epoch::int, b.streak, b.consec, b.reissues, b.mode, b.hold, b.hold_print,
       extract(epoch from b.changed_at)::float8 * 1000 as changed, extract(epoch from b.open_until)::float8 * 1000 as open_until,
       extract(epoch from b.gate_until)::float8 * 1000 as gate_until, extract(epoch from b.mode_until)::float8 * 1000 as mode_until,
       round(extract(epoch from b.pace_at)::float8 * 1000) as pace_at,
       b.ok_by, extract(epoch from b.ok_at)::float8 * 1000 as ok_at, extract(epoch from b.ok_other_at)::float8 * 1000 as ok_other_at,
       (select coalesce(json_object_agg(x.caller, extract(epoch from x.failed_at)::float8 * 1000), '{}') from mendflow.breaker_caller x where x.key = b.key and x.epoch = b.epoch) as failing,
       w.calls::int, w.fail::int, w.slow::int, w.bad, w.callers,
       (select json_agg(json_build_array(x.who, of.calls, of.fail, of.slow, of.bad, of.callers) order by x.who)
        from unnest(array['w1', 'w2', 'w3']) as x(who), lateral mendflow.breaker_window(b, mendflow.clk(), x.who) of) as seen,
       (select coalesce(json_agg(json_build_array(x.token, extract(epoch from x.lease_until)::float8 * 1000, x.outcome) order by x.n), '[]')
        from mendflow.breaker_trial x where x.key = b.key and x.epoch = b.epoch) as trials
     from mendflow.breaker b cross join lateral mendflow.breaker_window(b, mendflow.clk()) w where b.key = $1`,
    [pair.key],
  );
}

function modelOf({ model: b, now }: Pair): unknown {
  const w = sums(b.buckets, now, b.settings.windowMs);
  return {
    state: b.state,
    epoch: b.epoch,
    streak: b.streak,
    consec: b.consecutive,
    reissues: b.reissues,
    mode: b.mode,
    hold: b.hold?.code ?? null,
    hold_print: b.hold?.print ?? null,
    changed: b.changedAt,
    open_until: b.openUntil ?? null,
    gate_until: b.gateUntil ?? null,
    mode_until: b.modeUntil ?? null,
    pace_at: b.paceAt === undefined ? null : Math.round(b.paceAt),
    ok_by: b.okBy ?? null,
    ok_at: b.okAt ?? null,
    ok_other_at: b.okOtherAt ?? null,
    failing: Object.fromEntries(b.failing.map(({ by, at }) => [by, at])),
    ...w,
    seen: ['w1', 'w2', 'w3'].map((who) => [who, ...Object.values(sums(b.buckets, now, b.settings.windowMs, who))]),
    trials: b.trials.map(({ token, leaseUntil, outcome }) => [token ?? null, leaseUntil ?? null, outcome ?? null]),
  };
}

interface Command {
  readonly text: string;
  run(pair: Pair): Promise<void>;
}

const acquire = (print: string | null, decided: boolean): Command => ({
  text: `acquire ${print ?? ''}${decided ? ' decided' : ''}`,
  async run(pair) {
    const pass = { print: print ?? undefined, decided };
    const would = await ask<object>(
      'select admit, trial, why, retry_ms::int as "retryMs" from mendflow.breaker_would_admit($1, $2, $3)',
      [pair.key, print, decided],
    );
    const { stale: _, ...look } = lookAt(pair.model, pair.now, pass);
    expect(would).toEqual(look);
    const real = await ask<{ allow: boolean; st: string; ep: number; tok: string | null; retry_ms: number }>(
      'select allow, st, ep::int, tok, retry_ms::int from mendflow.breaker_acquire($1, $2, $3, $4)',
      [pair.key, 'me', print, decided],
    );
    const event = { type: 'acquire', token: real.tok ?? 'not granted', ...pass } as const;
    const { state, answer } = reduceBreaker(pair.model, event, pair.now, 0);
    pair.model = state;
    expect(real).toEqual({
      allow: answer.look!.admit,
      st: answer.look!.why,
      ep: answer.epoch,
      tok: answer.token ?? null,
      retry_ms: answer.look!.retryMs,
    });
    if (real.allow) pair.given.unshift({ token: real.tok ?? undefined, epoch: real.ep });
  },
});

const outcomes = {
  ok: { ok: 1 },
  fail: { fail: 1, tail: 1 },
  'fail asking to wait': { fail: 1, tail: 1, waitMs: 25_000 },
  'many ok': { ok: 7 },
  mixed: { ok: 2, fail: 3, tail: 2 },
  slow: { slow: 1 },
  'slow ended': { ok: 1, ended: 1 },
  'call of r1': { fail: 1, tail: 1, calls: [{ about: 'call', by: 'r1' }] },
  'call of r2': { fail: 1, tail: 1, calls: [{ about: 'call', by: 'r2' }] },
  'call of r3': { fail: 1, tail: 1, calls: [{ about: 'call', by: 'r3' }] },
  'call of nobody': { fail: 1, tail: 1, calls: [{ about: 'call' }] },
  'answer to r1': { fail: 1, tail: 1, calls: [{ about: 'answer', by: 'r1' }] },
  'connection of r1': { fail: 1, tail: 1, calls: [{ about: 'connection', by: 'r1' }] },
  'ok of r1': { ok: 2, okBy: 'r1' },
  'ok of r2': { ok: 1, okBy: 'r2' },
  'ok of both': { ok: 3, okBy: 'r1', okOthers: true },
  'mixed by many': {
    ok: 2,
    okBy: 'r2',
    fail: 4,
    tail: 3,
    calls: [
      { about: 'answer', by: 'r1' },
      { about: 'call', by: 'r1' },
      { about: 'connection', by: 'r1' },
      { about: 'call', by: 'r3' },
    ],
  },
  ignored: {},
  throttled: { gateMs: 9_000 },
  'throttled for ever': { gateMs: 1e12 },
  held: { hold: 'http_401', print: 'a' },
  'held without print': { hold: 'secret_missing' },
} as const satisfies Record<string, Omit<Report, 'epoch' | 'worker'>>;

const report = (kind: keyof typeof outcomes, which: number, worker: string): Command => ({
  text: `report ${kind} of call ${which} by ${worker}`,
  async run(pair) {
    const of = pair.given[which] ?? { token: undefined, epoch: pair.model.epoch };
    const event: Report = { worker, ...of, ...outcomes[kind] };
    const {
      ok = 0,
      fail = 0,
      slow = 0,
      ended = 0,
      tail = 0,
      gateMs = 0,
      waitMs = 0,
      hold = null,
      print = null,
      okBy = null,
      okOthers = false,
    } = event;
    const calls = event.calls?.map(({ about, by = '' }) => `${about}:${by}`) ?? null;
    const more = [calls, okBy, okOthers];
    const real = await ask<object>(
      'select st, ep::int, effect from mendflow.breaker_report($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)',
      [pair.key, of.epoch, of.token ?? null, worker, ok, fail, slow, ended, tail, gateMs, waitMs, hold, print].concat(
        more as never[],
      ),
    );
    const { state, answer } = reduceBreaker(pair.model, { type: 'report', ...event }, pair.now, 0);
    pair.model = state;
    expect(real).toEqual({ st: state.state, ep: answer.epoch, effect: answer.effect });
  },
});

const tick: Command = {
  text: 'tick',
  async run(pair) {
    const real = await ask<object>('select st, ep::int, effect from mendflow.breaker_tick($1)', [pair.key]);
    const { state, answer } = reduceBreaker(pair.model, { type: 'tick' }, pair.now, 0);
    pair.model = state;
    expect(real).toEqual({ st: state.state, ep: answer.epoch, effect: answer.effect });
  },
};

const leave = (worker: string): Command => ({
  text: `${worker} leaves`,
  async run(pair) {
    await ask('select mendflow.breaker_leave($1)', [worker]);
    pair.model = reduceBreaker(pair.model, { type: 'leave', worker }, pair.now, 0).state;
  },
});

const mode = (to: Mode, forMs: number | undefined): Command => ({
  text: `mode ${to} for ${forMs ?? 'ever'}`,
  async run(pair) {
    if (to === 'forced_closed' && forMs === undefined) return;
    await ask('select mendflow.breaker_set_mode($1, $2, $3, $4, $5)', [pair.key, to, forMs ?? null, 'me', 'a test']);
    pair.model = reduceBreaker(pair.model, { type: 'mode', mode: to, forMs }, pair.now, 0).state;
  },
});

const pace = (slots: number, callsPerSecond: number, leadMs: number): Command => ({
  text: `pace ${slots} at ${callsPerSecond} after ${leadMs}`,
  async run(pair) {
    const real = await ask<{ wait_ms: number; spacing_ms: number }>(
      'select * from mendflow.breaker_pace($1, $2, $3, $4)',
      [pair.key, slots, callsPerSecond, leadMs],
    );
    const { state, answer } = reduceBreaker(pair.model, { type: 'pace', slots, callsPerSecond, leadMs }, pair.now, 0);
    pair.model = state;
    // The database keeps microseconds, and rounds each reservation to them.
    expect(Math.abs(real.wait_ms - answer.waitMs!)).toBeLessThan(0.1);
    expect(real.spacing_ms).toBeCloseTo(answer.spacingMs!, 6);
  },
});

const pass = (byMs: number): Command => ({
  text: `${byMs} ms pass`,
  run(pair) {
    pair.now += byMs;
    return Promise.resolve();
  },
});

/** To the moment something is due, and to a millisecond before and after: where `<` and `<=` differ. */
const due = (offMs: number): Command => ({
  text: `until due ${offMs}`,
  run(pair) {
    const { openUntil, gateUntil, modeUntil, changedAt, trials } = pair.model;
    const times = [
      openUntil,
      gateUntil,
      modeUntil,
      changedAt + settings.rampMs,
      ...trials.map((one) => one.leaseUntil),
    ];
    const next = Math.min(...times.filter((time): time is number => time !== undefined && time > pair.now + 1));
    if (Number.isFinite(next)) pair.now = next + offMs;
    return Promise.resolve();
  },
});

const worker = fc.constantFrom('w1', 'w1', 'w2', 'w3');
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom(null, 'a', 'b'), fc.nat(5)).map(([p, n]) => acquire(p, n === 0)) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.constantFrom('fail', 'fail', 'ok', 'mixed', 'call of r1', 'call of r2', 'ok of r2'),
        fc.constant(0),
        worker,
      )
      .map((of) => report(...of)),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(...(Object.keys(outcomes) as (keyof typeof outcomes)[])), fc.nat(3), worker)
      .map((of) => report(...of)),
  },
  { weight: 1, arbitrary: fc.constant(tick) },
  { weight: 1, arbitrary: worker.map(leave) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom<Mode>('auto', 'auto', 'forced_open', 'forced_closed', 'observe'),
        fc.constantFrom(undefined, 5_000, 30_000),
      )
      .map((of) => mode(...of)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.constantFrom(0.5, 1, 2.5, 7, 50), fc.constantFrom(0, 0, 30))
      .map((of) => pace(...of)),
  },
  { weight: 2, arbitrary: fc.constantFrom(-1, 0, 0, 1).map(due) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(1, 900, 2_999, 3_000, 9_999, 61_000, 3_600_000, -600_000, -3_600_000, -7_200_000)
      .map(pass),
  },
);

/** What chance alone rarely does in a row. */
const story: fc.Arbitrary<readonly Command[]> = fc.constantFrom(
  [report('fail', 9, 'w1'), report('fail', 9, 'w1'), report('fail', 9, 'w1')],
  [report('ok of r2', 9, 'w1'), ...Array.from({ length: 4 }, () => report('call of r1', 9, 'w1'))],
  [report('many ok', 9, 'w1'), pass(3_000), ...Array.from({ length: 3 }, () => report('fail', 9, 'w2'))],
  [report('many ok', 9, 'w1'), pass(2_999), ...Array.from({ length: 3 }, () => report('fail', 9, 'w2'))],
  [report('fail', 9, 'w2'), report('ok', 9, 'w1'), pass(3_000), report('fail', 9, 'w2'), report('mixed', 9, 'w2')],
  [report('call of r2', 9, 'w1'), report('call of r1', 9, 'w2'), report('call of r3', 9, 'w2')],
  [due(0), acquire(null, false), report('ok', 0, 'w2')],
  [due(0), acquire('b', false), report('ok', 0, 'w2'), pass(16_000)],
  [due(0), acquire(null, false), due(0), acquire(null, false), due(0), acquire(null, false), due(0)],
);
const commands = fc
  .array(fc.oneof({ weight: 6, arbitrary: command.map((one) => [one]) }, { weight: 1, arbitrary: story }), {
    minLength: 30,
    maxLength: 40,
  })
  .map((parts) => parts.flat());

let runs = 0;
async function both(all: readonly Command[], permits: number): Promise<void> {
  const own = { ...settings, permits };
  const pair: Pair = { key: `http:twin-${++runs}`, now: START, model: freshBreaker(own, START), given: [], steps: [] };
  await client.query(`select set_config('mendflow.stopped_at', $1, false)`, [String(pair.now)]);
  await client.query('insert into mendflow.breaker (key, cfg) values ($1, $2)', [pair.key, JSON.stringify(own)]);
  for (const one of all) {
    pair.steps.push(one.text);
    await client.query(`select set_config('mendflow.stopped_at', $1, false)`, [String(pair.now)]);
    try {
      await one.run(pair);
      await client.query(`select set_config('mendflow.stopped_at', $1, false)`, [String(pair.now)]);
      expect(await rowOf(pair)).toEqual(modelOf(pair));
    } catch (error) {
      throw new Error(`After: ${pair.steps.join('; ')}`, { cause: error });
    }
  }
  await expectHistory(pair);
}

const legal = [
  'closed>open',
  'open>half_open',
  'half_open>ramping',
  'half_open>open',
  'ramping>open',
  'ramping>closed',
];

/** The log of events alone tells a lawful story: legal edges, each epoch one more. */
async function expectHistory({ key }: Pair): Promise<void> {
  const { rows } = await client.query<{ edge: string; epoch: number }>(
    `select from_state || '>' || to_state as edge, epoch::int from mendflow.breaker_event where key = $1 and kind = 'move' order by id`,
    [key],
  );
  expect(rows.filter(({ edge }) => !legal.includes(edge))).toEqual([]);
  expect(rows.map(({ epoch }) => epoch)).toEqual(rows.map((_, index) => index + 2));
}

it('takes the same steps in SQL and in the reducer, whatever is done', { timeout: 120_000 }, async () => {
  await fc.assert(fc.asyncProperty(commands, fc.constantFrom(1, 1, 2, 3), both), { numRuns: 200, seed: 4 });
  const { rows } = await client.query<{ edge: string; n: number }>(
    `select from_state || '>' || to_state as edge, count(*)::int as n from mendflow.breaker_event where kind = 'move' group by 1`,
  );
  const reached = new Map(rows.map(({ edge, n }) => [edge, n]));
  // A property that never gets anywhere proves nothing.
  expect([...reached.keys()].sort()).toEqual([...legal].sort());
  for (const [edge, n] of reached) expect([edge, n >= 5]).toEqual([edge, true]);
});
