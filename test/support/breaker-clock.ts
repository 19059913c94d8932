// What lives here: one session on a breaker whose clock a test sets: stopped and moved by hand, or shifted against the others.
// Invariant: statements are the ones that ship; only the time is the test's.
// Apart because cooldowns of minutes and clocks that jump cannot be waited for.
import pg from 'pg';
import { acquireBreaker, type Acquired, reportBreaker } from '../../src/store/breaker-calls.ts';
import type { Report } from '../../src/model/breaker.ts';
import type { BreakerSettings } from '../../src/model/upstream.ts';
import { type BreakerRow, declareBreakers, readBreaker, tickBreaker } from '../../src/store/breakers.ts';

const START = 1_800_000_000_000;
let keys = 0;

export interface Session {
  readonly client: pg.Client;
  readonly key: string;
  /** Moves the stopped clock. */
  pass(ms: number): Promise<void>;
  acquire(pass?: { print?: string; decided?: boolean }): Promise<Acquired>;
  report(
    of: { epoch: number; token?: string },
    what: Omit<Report, 'epoch' | 'worker'>,
    worker?: string,
  ): Promise<string>;
  /** So many failures in the current epoch. */
  fail(times: number, worker?: string): Promise<string>;
  row(): Promise<BreakerRow>;
  tick(): Promise<string>;
}

/** A breaker of its own, closed, with a clock that stands still. Jitter is off, so that waits are exact. */
export async function session(client: pg.Client, settings: Partial<BreakerSettings> = {}): Promise<Session> {
  const key = `http:clock-${++keys}`;
  let now = START;
  const stop = async (): Promise<unknown> =>
    client.query(`select set_config('mendflow.stopped_at', $1, false)`, [String(now)]);
  await stop();
  await declareBreakers(client, { [key]: { address: 'http://localhost', timeout: '1 second', breaker: settings } });
  await client.query(`update mendflow.breaker set cfg = cfg || '{"cooldownJitter": 0}' where key = $1`, [key]);
  const row = async (): Promise<BreakerRow> => (await readBreaker(client, key))!;
  return {
    client,
    key,
    row,
    async pass(ms) {
      now += ms;
      await stop();
    },
    acquire: (pass = {}) => acquireBreaker(client, key, 'me', pass.print, pass.decided ?? false),
    report: async (of, what, worker = 'w1') => (await reportBreaker(client, key, { ...what, ...of, worker })).effect,
    async fail(times, worker = 'w1') {
      let effect = '';
      for (let n = 0; n < times; n++) {
        const { epoch } = await row();
        effect = (await reportBreaker(client, key, { epoch, worker, fail: 1, tail: 1 })).effect;
      }
      return effect;
    },
    tick: async () => (await tickBreaker(client, key))!.effect,
  };
}

/** What is unlawful in the history of a breaker: edges that there are not, epochs that do not follow each other. */
export async function unlawful(client: pg.Client | pg.Pool, key: string): Promise<unknown[]> {
  const { rows } = await client.query(
    `with moves as (
       select *, lag(epoch, 1, 1::bigint) over w as before, lag(to_state, 1, 'closed') over w as was
       from mendflow.breaker_event where key = $1 and kind = 'move' window w as (order by id))
     select from_state, to_state, epoch::int from moves
     where epoch <> before + 1 or from_state <> was
       or from_state || '>' || to_state not in ('closed>open', 'open>half_open', 'half_open>ramping', 'half_open>open', 'ramping>open', 'ramping>closed')`,
    [key],
  );
  return rows;
}
