// What is promised here: trials that decide nothing go out fewer and fewer: against a hold of workers with different credentials, and by a probe that cannot be sent.
import { asyncLocalStorage } from '@temporalio/activity';
import type { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { tickIn } from '../../src/engine/activity/recovery.ts';
import { defaultPace } from '../../src/engine/pace.ts';
import type { RecoveryMemo } from '../../src/engine/workflow/recovery.ts';
import { failure } from '../../src/model/failure.ts';
import { declareBreakers } from '../../src/store/breakers.ts';
import { openPool } from '../../src/store/db.ts';
import { writePark } from '../../src/store/parks.ts';
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
afterEach(() => void vi.useRealTimers());
afterAll(() => close());

const KEY = 'http:held';
const MINUTES = 20;

/** Rounds as the workflow would make them in that time, on a worker whose credential is not the one that was refused. Counts who was sent. */
async function rounds(hasProbe: boolean): Promise<{ runs: number; probes: number }> {
  const sent: unknown[] = [];
  const client = { workflow: { getHandle: () => ({ signal: async (...one: unknown[]) => void sent.push(one) }) } };
  // A context that does nothing: what is looked at is which rows a round changes and whom it tells.
  const context = {
    client,
    heartbeat: () => undefined,
    cancellationSignal: new AbortController().signal,
    get info() {
      return { currentAttemptScheduledTimestampMs: Date.now() };
    },
  };
  const tick = tickIn({ pool, pace: defaultPace, printOf: () => 'another', hasProbe: () => hasProbe });
  vi.useFakeTimers({ toFake: ['Date'] });
  const startedAt = Date.now();
  let memo: RecoveryMemo = {};
  let probes = 0;
  for (let round = 0; round < 3_000 && Date.now() < startedAt + MINUTES * 60_000; round++) {
    const ticked = await asyncLocalStorage.run(context as never, () => tick({ upstream: KEY, memo }));
    ({ memo } = ticked);
    if (ticked.probe) probes++;
    vi.setSystemTime(Date.now() + ticked.nextInMs);
  }
  return { runs: sent.length, probes };
}

describe('what decides nothing', () => {
  it.each([false, true])(
    'of a hold, as other workers have the old credential, sends out fewer and fewer (by a probe: %s)',
    async (hasProbe) => {
      await declareBreakers(pool, { [KEY]: { address: 'http://127.0.0.1:9' } });
      await pool.query(
        `update mendflow.breaker set state = 'open', hold = 'http_401', hold_print = 'refused', open_until = clock_timestamp() where key = $1`,
        [KEY],
      );
      await writePark(
        pool,
        { runKey: 'call/2026-11-21', workflowId: 'call', stage: 'ask' },
        {
          token: 'ask-1',
          until: 'upstream',
          upstream: KEY,
          since: Date.now(),
          failure: failure('breaker_open'),
          attempts: 0,
          elapsedMs: 0,
          why: 'not admitted',
        },
        'parked',
      );
      const { runs, probes } = await rounds(hasProbe);
      expect(runs + probes).toBeGreaterThanOrEqual(5);
      expect(runs + probes).toBeLessThanOrEqual(12);
    },
  );

  it('also of a probe that decides nothing, such as one that this machine cannot send; then a run goes in its place', async () => {
    await pool.query(`update mendflow.breaker set hold = null, hold_print = null where key = $1`, [KEY]);
    const { runs, probes } = await rounds(true);
    expect(probes).toBe(3);
    expect(runs).toBeGreaterThanOrEqual(1);
    expect(runs).toBeLessThanOrEqual(8);
  });
});
