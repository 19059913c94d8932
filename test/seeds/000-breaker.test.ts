// What is promised here: the breakers of documents 000 and 001, with their figures, and without the two mistakes between them (contradictions 12 and 13).
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { breakerSettingsOf } from '../../src/model/upstream.ts';
import { readBreaker } from '../../src/store/breakers.ts';
import { ownUpstreams } from '../../src/upstreams.ts';
import { session, type Session } from '../support/breaker-clock.ts';
import { codeOf, fails, openScene, type Scene } from '../support/upstreams.ts';

const own = ownUpstreams({ mainApi: 'http://localhost:1' });
let scene: Scene;
let client: pg.Client;
beforeAll(async () => {
  scene = await openScene();
  client = new pg.Client({ connectionString: scene.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await scene.close();
});

/** A breaker as this package declares it, on a clock that the test moves. */
const as = (key: keyof typeof own): Promise<Session> => session(client, breakerSettingsOf(own[key]!));

describe('000-9 one breaker for each external service', () => {
  it.each([
    ['http:main_api', 3, 120_000],
    ['db:reporting_db', 2, 60_000],
  ] as const)('%s opens after %d failures in a row, for %d ms', async (key, failures, cooldownMs) => {
    const s = await as(key);
    expect(await s.fail(failures - 1)).toBe('counted');
    expect(await s.acquire()).toMatchObject({ allow: true, why: 'closed' });
    expect(await s.fail(1)).toBe('opened');
    expect(await s.acquire()).toMatchObject({ allow: false, why: 'open', retryMs: cooldownMs });
    await s.pass(cooldownMs - 1);
    expect((await s.acquire()).allow).toBe(false);
    await s.pass(1);
    // Half-open lets exactly one call through.
    const trial = await s.acquire();
    expect([trial.allow, trial.why]).toEqual([true, 'half_open']);
    expect((await s.acquire()).allow).toBe(false);
    expect(await s.report({ epoch: trial.epoch, token: trial.token! }, { ok: 1 })).toBe('closing');
    await s.pass(60_000);
    await s.tick();
    expect(await s.row()).toMatchObject({ state: 'closed', consecutive: 0, streak: 0 });
  });

  it('a trial that fails opens it again', async () => {
    const s = await as('http:main_api');
    await s.fail(3);
    await s.pass(120_000);
    const trial = await s.acquire();
    expect(await s.report({ epoch: trial.epoch, token: trial.token! }, { fail: 1, tail: 1 })).toBe('reopened');
    expect((await s.acquire()).allow).toBe(false);
  });

  it('an open one skips the call: an hour of it costs a few trials, where retrying every 2 s would cost 1,800', async () => {
    const s = await as('http:main_api');
    await s.fail(3);
    let calls = 0;
    for (let second = 0; second < 3_600; second += 2) {
      const { allow, epoch, token } = await s.acquire();
      if (allow) {
        calls++;
        await s.report({ epoch, token: token! }, { fail: 1, tail: 1 });
      }
      await s.pass(2_000);
    }
    expect(calls).toBeGreaterThan(2);
    expect(calls).toBeLessThan(10);
  });

  it('says each change once, with the figures, and nothing for each skipped call', async () => {
    const s = await as('http:main_api');
    await s.fail(3);
    for (let n = 0; n < 50; n++) await s.acquire();
    const { rows } = await client.query(`select to_state, detail from mendflow.breaker_event where key = $1`, [s.key]);
    expect(rows).toEqual([
      {
        to_state: 'open',
        detail: expect.objectContaining({ fail: 3, consecutive: 3, cooldownMs: 120_000 }) as unknown,
      },
    ]);
  });
});

describe('001-11 a rate or a row of failures in a window; a failed trial lengthens the cooldown', () => {
  it('opens by the rate too, where successes come in between', async () => {
    const s = await session(client, { consecutive: 1_000 });
    for (let n = 0; n < 9; n++) {
      await s.report({ epoch: 1 }, { ok: 1 });
      await s.fail(1);
    }
    expect((await s.row()).state).toBe('closed');
    await s.report({ epoch: 1 }, { ok: 1 });
    // The twentieth call: half of them failed.
    expect(await s.fail(1)).toBe('opened');
  });

  it('each failed trial doubles the cooldown, up to a quarter of an hour', async () => {
    const s = await as('db:reporting_db');
    await s.fail(2);
    const waits: number[] = [];
    for (let n = 0; n < 6; n++) {
      const { retryMs } = await s.acquire();
      waits.push(retryMs / 60_000);
      await s.pass(retryMs);
      const { epoch, token } = await s.acquire();
      await s.report({ epoch, token: token! }, { fail: 1, tail: 1 });
    }
    expect(waits).toEqual([1, 2, 4, 8, 15, 15]);
  });

  it('calls that began before the trial change nothing while it is under way', async () => {
    const s = await as('http:main_api');
    const early = await s.acquire();
    await s.fail(3);
    await s.pass(120_000);
    await s.acquire();
    expect(await s.report({ epoch: early.epoch }, { ok: 1 })).toBe('late');
    expect((await s.row()).state).toBe('half_open');
  });
});

describe('12 document 000 counts a row and waits a fixed time, document 001 a rate and a growing one', () => {
  it('here both count, and the wait grows with each opening and shrinks with each whole recovery', async () => {
    const s = await as('db:reporting_db');
    const recover = async (): Promise<void> => {
      const { retryMs } = await s.acquire();
      await s.pass(retryMs);
      const { epoch, token } = await s.acquire();
      await s.report({ epoch, token: token! }, { ok: 1 });
    };
    const streaks: number[] = [];
    const look = async (): Promise<void> => void streaks.push((await s.row()).streak);
    await s.fail(2);
    await look();
    await recover();
    // It falls back before the ramp is over: that is not a new outage but the same one.
    await s.fail(2);
    await look();
    await recover();
    await s.pass(60_000);
    await s.tick();
    await look();
    expect(streaks).toEqual([1, 2, 1]);
  });
});

describe('13 three malformed requests are no outage', () => {
  it("document 000's breaker counts every exception, so its own mistakes open it for a healthy upstream", () => {
    let failures = 0;
    const call = (work: () => void): void => {
      try {
        work();
      } catch {
        failures++;
      }
    };
    for (let n = 0; n < 3; n++)
      call(() => {
        throw new Error('400');
      });
    expect(failures >= 3).toBe(true);
  });

  it('here a refused request is an answer: the upstream stays open to all, and a row of failures ends with it', async () => {
    const worker = await scene.worker('w', own);
    const api = worker.at('http:main_api');
    for (let n = 0; n < 2; n++) await codeOf(api.call(fails('http_503')));
    for (let n = 0; n < 3; n++) expect(await codeOf(api.call(fails('http_400')))).toBe('http_400');
    for (let n = 0; n < 2; n++) await codeOf(api.call(fails('http_503')));
    expect(await readBreaker(scene.pool, 'http:main_api')).toMatchObject({ state: 'closed', consecutive: 2 });
    expect(await codeOf(api.call(() => Promise.resolve()))).toBe('ok');
  });
});
