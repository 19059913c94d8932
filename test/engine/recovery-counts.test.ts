// What is promised here: recovery counts as waiting, as going and as asking who does so, and rows that were left behind hold up nobody.
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Code, failure } from '../../src/model/failure.ts';
import { openPool } from '../../src/store/db.ts';
import { countParks, releasedAgain, releaseWave, writePark } from '../../src/store/parks.ts';
import { migratedDatabase } from '../support/database.ts';

let pool: Pool;
let close: () => Promise<void>;
beforeAll(async () => {
  const database = await migratedDatabase();
  pool = openPool({ url: database.url, applicationName: 'test' }, 2);
  close = async () => {
    await pool.end();
    await database.drop();
  };
});
afterAll(() => close());

let parked = 0;
/** A stage of a run of its own that waits at `http:<name>`. */
async function park(upstream: string, until: 'upstream' | 'decision', code: Code): Promise<void> {
  const runKey = `call/2026-11-21/${++parked}`;
  const at = { runKey, workflowId: runKey, stage: 'ask' };
  const failed = failure(code, 'For a test.', { upstream });
  const rest = { token: `ask-${parked}`, since: Date.now(), attempts: 1, elapsedMs: 0, why: 'never retried' };
  await writePark(pool, at, { ...rest, until, upstream, failure: failed }, until === 'decision' ? 'asking' : 'parked');
}

describe('who waits for an upstream', () => {
  it('counts as asking about a hold who was stopped by what holds it, and nobody else', async () => {
    const upstream = 'http:held';
    await park(upstream, 'upstream', 'breaker_open');
    await park(upstream, 'decision', 'http_404');
    // Its deadline came while it waited: it asks about that.
    await park(upstream, 'decision', 'breaker_open');
    expect(await countParks(pool, upstream, { epoch: 1, hold: 'http_401', lostMs: 1_000 })).toMatchObject({
      waiting: 1,
      asking: 0,
    });
    await park(upstream, 'decision', 'http_401');
    expect(await countParks(pool, upstream, { epoch: 1, hold: 'http_401', lostMs: 1_000 })).toMatchObject({
      waiting: 1,
      asking: 1,
    });
  });

  it('gives up a row that was let go and that nobody goes for', async () => {
    const upstream = 'http:back';
    for (let nth = 0; nth < 3; nth++) await park(upstream, 'upstream', 'breaker_open');
    await releaseWave(pool, upstream, 4, 2);
    await pool.query(
      `update mendflow.parked_run set released_at = released_at - interval '20 seconds'
       where (workflow_id, stage) = (select workflow_id, stage from mendflow.parked_run where upstream = $1 and released_epoch = 4 limit 1)`,
      [upstream],
    );
    const again = { epoch: 4, olderMs: 10_000, limit: 500 };
    expect(await countParks(pool, upstream, { epoch: 4, lostMs: 30_000 })).toMatchObject({
      waiting: 1,
      going: 2,
      lost: 0,
    });
    expect(await releasedAgain(pool, upstream, { ...again, lostMs: 30_000 })).toHaveLength(1);
    expect(await countParks(pool, upstream, { epoch: 4, lostMs: 15_000 })).toMatchObject({
      waiting: 1,
      going: 1,
      lost: 1,
    });
    expect(await releasedAgain(pool, upstream, { ...again, lostMs: 15_000 })).toEqual([]);
  });

  it('tells a few at a time, however many have not gone', async () => {
    const upstream = 'http:many';
    for (let nth = 0; nth < 5; nth++) await park(upstream, 'upstream', 'breaker_open');
    await releaseWave(pool, upstream, 1, 5);
    const again = { epoch: 1, olderMs: 0, lostMs: 30_000 };
    expect(await releasedAgain(pool, upstream, { ...again, limit: 2 })).toHaveLength(2);
    expect(await releasedAgain(pool, upstream, { ...again, limit: 500 })).toHaveLength(5);
  });
});
